"""The export experiment: a table in PostgreSQL becomes a CSV object in S3."""
