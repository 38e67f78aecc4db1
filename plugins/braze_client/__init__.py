"""The Braze REST API: transport, retries, rate limits, users and catalogs."""
