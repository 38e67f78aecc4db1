"""Provide a local data warehouse: an embedded PostgreSQL, a file loader, sample data and a clock."""
