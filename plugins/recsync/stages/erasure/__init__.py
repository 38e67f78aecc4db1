"""Forgetting one person: kept out first, then taken out of everything that recsync wrote, then certified."""
