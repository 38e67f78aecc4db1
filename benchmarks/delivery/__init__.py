"""What posts users to Braze: one module per contender, each with one function ``deliver(job)``."""
