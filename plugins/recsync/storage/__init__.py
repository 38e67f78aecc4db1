"""The bucket of a program, its keys, and helpers for files, Parquet, CSV and DuckDB."""
