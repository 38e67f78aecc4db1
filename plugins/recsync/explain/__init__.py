"""Explain: why a person has a list or none, and whether it was delivered."""
