"""Every recipe through a program file of its own, from the warehouse to Braze, on the grocery data."""
