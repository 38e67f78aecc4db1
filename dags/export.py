"""### Export

Copies the rows of one interval from the warehouse to S3: one CSV object per dataset and interval, checked row by
row, then published by a manifest. Running an interval again, or backfilling it, overwrites the same objects.

A run also exports the intervals before its own again (`exports.overlap_intervals`), because some of their rows may
have arrived late; the next import takes only new rows. It also exports the intervals since the last FULL import that
are not published, because their run failed or was never started (`exports.missing_intervals`). A backfill does neither.

A scheduled or manual run announces its interval to `train_update`. A backfill announces nothing: the next import takes
all its intervals together, so none is paid for on its own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from recsync.airflow_tasks import task
from recsync.dag_kit import (
    asset,
    interactions_last,
    programs,
    schedule,
    stage_dag,
    start_once,
    upstream_events,
)
from recsync.export.link import REPORTS
from recsync.export.tasks import WarehouseToS3Operator
from recsync.notes import note
from recsync.program import DatasetType, Program
from recsync.storage.keys import Keys


@task(multiple_outputs=False)
def intervals(program: str) -> list[dict[str, Any]]:
    """Return the run's own interval and the earlier ones to export again; a manual run takes the last that is over."""
    from recsync import settings
    from recsync.export.publish import backfill_spans, spans
    from recsync.imports.store import imported_until
    from recsync.program.intervals import Interval, last_interval

    context = get_current_context()
    ti = context["ti"]

    def is_exporting(start: datetime) -> bool:
        return bool(ti.get_dr_count(dag_id=ti.dag_id, logical_dates=[start], states=["queued", "running"]))

    run, start, end = context["dag_run"], context.get("data_interval_start"), context.get("data_interval_end")
    schedules = settings.program(program).schedules
    uris = schedules.after("export")
    if uris and start and end and run.run_type == "backfill":
        return backfill_spans(program, start, end)
    if start and end and not uris:
        own = Interval(start, end)
    else:
        until = end if end and run.run_type == "scheduled" else updated_until(uris, run.run_after)
        own = last_interval(until, schedules.export_intervals)
    return spans(
        program,
        own,
        imported_until=imported_until(program),
        backfill=run.run_type == "backfill",
        is_exporting=is_exporting,
    )


def updated_until(uris: tuple[str, ...], run_after: datetime) -> datetime:
    """Return the time up to which upstream is complete: of the last event of each asset, the earliest.

    Airflow dates the run by the first of several events that came while another run was active.
    """
    if get_current_context()["dag_run"].run_type != "asset_triggered":
        return run_after
    events = [list(upstream_events(uri).ascending(False).limit(1)) for uri in uris]
    return min((event.timestamp for found in events for event in found), default=run_after)


def arguments(program: Program, kind: DatasetType) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return the operator's arguments for one dataset, as a function of the interval."""
    return lambda span: {
        "interval_start": span["start"],
        "interval_end": span["end"],
        "s3_key": Keys(program.name).export(kind, span["key"]),
        "optional": span["optional"],
        "note": span["note"],
    }


@task(multiple_outputs=False, has_page=True)
def publish(
    program: str, spans: list[dict[str, Any]], exported: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    """Publish the manifest of each interval to imports."""
    from recsync.export.publish import publish_spans

    figures = publish_spans(program, spans, exported)
    rows = ", ".join(f"{count:,} {dataset}" for dataset, count in figures["rows"].items())
    bad = sum(each["quarantined"] for found in exported.values() for each in found if each)
    more = f" and {len(spans) - 1} intervals again" if len(spans) > 1 else ""
    note(f"{figures['interval']}{more}: {rows}; {bad:,} rows quarantined", page=f"{REPORTS}/{program}")
    return figures


@task
def announce(figures: dict[str, Any]) -> None:
    """Announce the interval to train_update by an asset event; skipped in a backfill."""
    context = get_current_context()
    if context["dag_run"].run_type == "backfill":
        raise AirflowSkipException(
            "A backfill: the next import takes this interval together with the others."
        )
    for outlet in context["ti"].task.outlets:
        context["outlet_events"][outlet].extra = figures


for program in programs("export", __file__):
    due = schedule(program, "export")
    # Early enough for any backfill; without catchup it starts no run. Runs of events have no interval that tells other
    # runs what they export, so they follow each other.
    one_by_one = bool(program.schedules.after("export"))
    options = {"start_date": datetime(2015, 1, 1, tzinfo=UTC), "max_active_runs": 1 if one_by_one else 4}
    with stage_dag(program, "export", schedule=due, doc_md=__doc__, **options) as dag:
        spans = intervals(program.name)
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
        start_once(dag, program, "export")
