"""Clients of services that Airflow's providers do not cover."""
