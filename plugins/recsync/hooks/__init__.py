"""Hooks: the seams between Airflow connections and the services."""
