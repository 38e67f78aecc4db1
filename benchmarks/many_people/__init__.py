"""A recommend run and a plan of many people, each step in a process of its own: memory, time, and equal bytes."""
