"""Keep a program's objects on S3: the bucket, its keys, and helpers for documents, CSV and DuckDB."""
