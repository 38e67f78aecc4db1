"""What finds out whom to send: one module per contender, each with ``prepare(job)`` and ``plan(job)``."""
