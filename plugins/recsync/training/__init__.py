"""Training: when to train, solutions and versions, tuning, one run at a time."""
