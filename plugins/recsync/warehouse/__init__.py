"""Stream the rows of SQL templates from a warehouse."""
