"""Freshness: measure the age of the lists in Braze, alert before they are too old, and remove those that are."""
