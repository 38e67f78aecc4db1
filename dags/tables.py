"""### Tables

Only for programs with the section `tables`: writes lists, deliveries, evaluations, costs and outcomes as partitioned
Parquet, for Athena, Redshift Spectrum, Snowflake, BigQuery, DuckDB and notebooks.

* **lists**, then **deliveries** (with the accounts): every published run and every complete delivery that is missing,
  however late.
* **versions**, **costs**: missing days and months, and the newest ones again.
* **experiments**, **outcomes**: days of enrolments, and whole days of `outcomes.sql`; only with an experiment.

Runs after each push, and by schedule to catch up after a pause. Repeating a task is safe. Erased people are left out.
"""

from __future__ import annotations

from airflow.sdk import Param, get_current_context

from recsync.airflow_tasks import task
from recsync.dag_kit import asset, programs, schedule, stage_dag, start_once
from recsync.notes import note

PARAMS: dict[str, Param] = {}


@task(multiple_outputs=False)
def write(program: str, table: str) -> dict[str, int]:
    """Bring one table up to date; return the numbers of objects and rows written."""
    from recsync.tables.write import write_table

    written = write_table(program, table, get_current_context()["dag_run"].run_after)
    note(
        f"{table}: {written['rows']:,} rows in {written['objects']:,} objects",
        of_run=written["objects"] > 0,
    )
    return written


for program in programs("tables", __file__):
    if program.tables is None:
        continue
    due = schedule(program, "tables", asset(program, "deliveries"))
    with stage_dag(program, "tables", schedule=due, doc_md=__doc__) as dag:
        lists, deliveries, *_ = [
            write.override(task_id=table)(program.name, table)
            for table in ("lists", "deliveries", "versions", "costs", "experiments", "outcomes")
        ]
        lists >> deliveries
        start_once(dag, program, "tables")
