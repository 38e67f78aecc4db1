"""Read a warehouse: a connection and a SQL template become a stream of rows."""
