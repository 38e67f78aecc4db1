"""Check everything that a run needs before anything is billed; nothing is created, written or deleted."""
