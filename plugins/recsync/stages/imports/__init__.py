"""What is imported: a snapshot or all intervals by a FULL run, the rows that are new by an UPDATE run."""
