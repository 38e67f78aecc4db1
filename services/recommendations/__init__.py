"""The recommendations service: the published lists of each person over HTTP, without Airflow."""
