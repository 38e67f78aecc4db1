"""Parse filter expressions, check them against a dataset group, and apply them to recommendations."""
