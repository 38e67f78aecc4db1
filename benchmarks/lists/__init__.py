"""What builds lists: one module per contender, each with ``build(job)``."""
