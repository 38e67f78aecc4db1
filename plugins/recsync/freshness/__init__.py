"""Freshness: how old the lists in Braze are, who is told, and the removal of those that are too old."""
