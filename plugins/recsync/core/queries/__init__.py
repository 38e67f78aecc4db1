"""The SQL that reaches the warehouse, made from the program's own files."""
