"""Old path of airflow_personalize.triggers.personalize_deleted, kept for one release.

A task that was deferred before an upgrade has this path of its trigger in Airflow's database; the triggerer
imports it after the upgrade. It can go when no task deferred by the older release waits any more.
"""

from airflow_personalize.triggers.personalize_deleted import *  # ruff: ignore[undefined-local-with-import-star]
