"""Tables for others: deliveries, lists and more as partitioned Parquet with stable schemas."""
