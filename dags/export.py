"""### Export

Copies the rows of one interval from the warehouse to S3: one CSV object per dataset and interval, checked row by
row, then published by a manifest. Running an interval again, or backfilling it, overwrites the same objects.

A run also exports the intervals before its own again (`exports.overlap_intervals`), because rows of theirs may have
arrived late; the next import takes only the rows that are new. It exports, too, what nobody published since the last
FULL import, because a run failed or was never started (`exports.missing_intervals`). A backfill does neither.

A scheduled or manual run announces its interval to `train_update`. A backfill announces nothing: what it
filled is taken by the next import together, so no hour of it is paid for on its own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import CronDataIntervalTimetable, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from recsync.airflow_tasks import task
from recsync.dag_kit import asset, interactions_last, programs, stage_dag
from recsync.export.tasks import WarehouseToS3Operator
from recsync.program import DatasetType, Program
from recsync.program.intervals import Interval, last_interval
from recsync.storage.keys import Keys


@task(multiple_outputs=False)
def intervals(program: str, cron: str | None) -> list[dict[str, Any]]:
    """Fix the run's own interval, and those before it to read too; a manual run takes the last that is over."""
    from recsync.export.spans import spans

    context = get_current_context()
    ti = context["ti"]

    def is_exporting(start: datetime) -> bool:
        return bool(ti.get_dr_count(dag_id=ti.dag_id, logical_dates=[start], states=["queued", "running"]))

    run, start, end = context["dag_run"], context.get("data_interval_start"), context.get("data_interval_end")
    own = Interval(start, end) if start and end else last_interval(run.run_after, cron)
    return spans(program, own, backfill=run.run_type == "backfill", is_exporting=is_exporting)


def arguments(program: Program, kind: DatasetType) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Say how one dataset of an interval is exported."""
    return lambda span: {
        "interval_start": span["start"],
        "interval_end": span["end"],
        "s3_key": Keys(program.name).export(kind, span["key"]),
        "optional": span["optional"],
        "note": span["note"],
    }


@task(multiple_outputs=False)
def publish(
    program: str, spans: list[dict[str, Any]], exported: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    """Publish the manifest of each interval; imports see its objects from now on."""
    from recsync.export.publish import publish_spans

    return publish_spans(program, spans, exported)


@task
def announce(figures: dict[str, Any]) -> None:
    """Tell train_update by an asset event; a backfill tells nobody."""
    context = get_current_context()
    if context["dag_run"].run_type == "backfill":
        raise AirflowSkipException(
            "A backfill: the next import takes this interval together with the others."
        )
    for outlet in context["ti"].task.outlets:
        context["outlet_events"][outlet].extra = figures


for program in programs("export"):
    schedule = program.schedules.export and CronDataIntervalTimetable(
        program.schedules.export, timezone="UTC"
    )
    # A start date far enough back for any backfill; with catchup off it starts nothing by itself.
    options = {"start_date": datetime(2015, 1, 1, tzinfo=UTC), "max_active_runs": 4}
    with stage_dag(program, "export", schedule=schedule, doc_md=__doc__, **options):
        spans = intervals(program.name, program.schedules.export)
        exported = {
            kind.value: WarehouseToS3Operator.partial(
                task_id=f"export_{kind.folder}",
                program=program.name,
                dataset_type=kind.value,
                map_index_template="{{ task.s3_key.rsplit('/', 1)[-1].removesuffix('.csv') }}",
            ).expand_kwargs(spans.map(arguments(program, kind)))
            for kind in program.dataset_types
        }
        interactions_last(exported)
        figures = publish(program.name, spans, {kind: each.output for kind, each in exported.items()})
        announce.override(outlets=[asset(program, "exports")])(figures)
