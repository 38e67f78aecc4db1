"""A delivery: what must be written to Braze, what became of it, and how every person is counted."""
