"""The pages of recsync in the Airflow UI."""
