"""Hooks: one method for one thing that a caller wants of Amazon Personalize."""
