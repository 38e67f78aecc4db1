"""Maintain: remove objects and resources that are no longer needed."""
