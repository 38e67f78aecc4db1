"""Explain: why a person has a list, or none, and what became of it."""
