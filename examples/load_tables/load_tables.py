"""### Load tables

Loads the tables of a program back into a warehouse, once a day: every day of a table that was written since two days
ago, whole. A day is replaced in one transaction, so the DAG may be repeated, and an erasure that wrote old days again
reaches the warehouse too. After a longer pause, trigger it with more `hours`.

Copy this file beside the DAG files, and set the four names below. Redshift, Snowflake and BigQuery select from the
external tables that `make tables-ddl` makes; PostgreSQL gets the rows copied.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, get_current_context

from recsync.airflow_tasks import task
from recsync.dag_kit import DEFAULT_ARGS

PROGRAM = "grocery"
CONNECTION = "warehouse"  # its user may create tables in SCHEMA
SCHEMA = "recsync"
DIALECT = "postgres"  # or redshift_spectrum, snowflake, bigquery, duckdb
TABLES = ("accounts", "lists", "deliveries", "versions", "costs", "experiments", "outcomes")
PARAMS = {
    "hours": Param(48, type="integer", minimum=1, description="load what was written within so many hours")
}


@task(multiple_outputs=False)
def load(table: str) -> dict[str, int]:
    """Load the days of a table that changed."""
    from recsync.tables.load import load as load_table

    context = get_current_context()
    since = context["dag_run"].run_after - timedelta(hours=context["params"]["hours"])
    return load_table(
        PROGRAM, table, connection=CONNECTION, schema=SCHEMA, dialect=DIALECT, changed_since=since
    )


with DAG(
    f"{PROGRAM}_load_tables",
    schedule="0 10 * * *",  # after <program>_tables
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    params=PARAMS,
    tags=["recsync", PROGRAM],
):
    for name in TABLES:
        load.override(task_id=name)(name)
