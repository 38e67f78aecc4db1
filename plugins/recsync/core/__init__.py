"""Pure rules and formats: no Airflow, no boto3, no clock, no network."""
