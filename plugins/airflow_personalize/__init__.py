"""Amazon Personalize for Airflow: hooks, operators, sensors, triggers, links and waiters."""
