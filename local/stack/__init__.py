"""Start, watch and stop everything an interactive session needs: warehouse, S3, the two services, Airflow."""
