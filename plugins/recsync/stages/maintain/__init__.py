"""The maintain stage: look, decide, remove, report."""
