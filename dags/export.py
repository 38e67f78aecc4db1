"""### Export

Copies the rows of one interval from the warehouse to S3: one CSV object per dataset and interval, checked row by
row, then published by a manifest. Running an interval again, or backfilling it, overwrites the same objects.

A scheduled or manual run announces its interval to `train_update`. A backfill announces nothing: what it
filled is taken by the next import together, so no hour of it is paid for on its own.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import CronDataIntervalTimetable, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from recsync.core.intervals import Interval, last_interval
from recsync.core.keys import Keys
from recsync.operators.warehouse_to_s3 import WarehouseToS3Operator
from recsync.stage_dags import asset, programs, stage_dag

INTERVAL = "{{ ti.xcom_pull(task_ids='interval')['%s'] }}"


@task(multiple_outputs=False)
def interval(cron: str | None) -> dict[str, str]:
    """Fix the interval; a manual run without one takes the last one that is over."""
    context = get_current_context()
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    span = Interval(start, end) if start and end else last_interval(context["dag_run"].run_after, cron)
    return {"start": span.start.isoformat(), "end": span.end.isoformat(), "key": span.key}


@task(multiple_outputs=False)
def publish(program: str, span: dict[str, str], exported: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Publish the interval's manifest; imports see its objects from now on."""
    from recsync.stages.export.publish import publish_interval

    interval = Interval(datetime.fromisoformat(span["start"]), datetime.fromisoformat(span["end"]))
    return publish_interval(program, interval, exported)


@task
def announce(figures: dict[str, Any]) -> None:
    """Tell train_update, by an asset event with the interval as its partition key; a backfill tells nobody."""
    context = get_current_context()
    if context["dag_run"].run_type == "backfill":
        raise AirflowSkipException(
            "A backfill: the next import takes this interval together with the others."
        )
    for outlet in context["ti"].task.outlets:
        context["outlet_events"][outlet].extra = figures
        context["outlet_events"][outlet].add_partitions(figures["interval"])


for program in programs("export"):
    schedule = program.schedules.export and CronDataIntervalTimetable(
        program.schedules.export, timezone="UTC"
    )
    # A start date far enough back for any backfill; with catchup off it starts nothing by itself.
    options = {"start_date": datetime(2015, 1, 1, tzinfo=UTC), "max_active_runs": 4}
    with stage_dag(program, "export", schedule=schedule, doc_md=__doc__, **options):
        span = interval(program.schedules.export)
        exported = {
            kind.value: WarehouseToS3Operator(
                task_id=f"export_{kind.folder}",
                program=program.name,
                dataset_type=kind.value,
                interval_start=INTERVAL % "start",
                interval_end=INTERVAL % "end",
                s3_key=Keys(program.name).export(kind, INTERVAL % "key"),
            )
            for kind in program.dataset_types
        }
        span >> list(exported.values())
        figures = publish(program.name, span, {kind: operator.output for kind, operator in exported.items()})
        announce.override(outlets=[asset(program, "exports")])(figures)
