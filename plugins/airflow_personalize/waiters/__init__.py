"""Waiter models, in botocore's own format: data only."""
