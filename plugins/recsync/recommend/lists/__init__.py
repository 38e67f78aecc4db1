"""Build each person's list from a batch output, an audience and a catalog."""
