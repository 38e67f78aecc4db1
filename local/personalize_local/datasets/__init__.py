"""Turn CSV objects into checked rows, and keep the rows of each dataset as Parquet."""
