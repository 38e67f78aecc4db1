"""Telling people what happened, through Airflow's notifiers."""
