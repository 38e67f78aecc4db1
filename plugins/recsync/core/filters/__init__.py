"""Filters of Amazon Personalize: dates that roll, names that tell generations apart, and each person's values."""
