"""Stand in for a brand's data warehouse: an embedded PostgreSQL, a file loader, sample data and a clock."""
