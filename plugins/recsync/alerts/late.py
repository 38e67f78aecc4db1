"""Send an alert when a run takes longer than the program file allows."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from airflow.configuration import conf
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from recsync import settings
from recsync.alerts.message import send
from recsync.program import Event, Program
from recsync.program.parse import parse_program


def deadline(program: Program, stage: str) -> DeadlineAlert | None:
    """Return the deadline of a stage's runs; None without a deadline or without an alert for late runs.

    It counts from when a run was queued: runs that an asset or a person started have no logical date.
    """
    limit = program.deadline_hours.of(stage)
    wanted = any(alert.wants(Event.LATE) for alert in program.alerts)
    if limit is None or not wanted or _tested(sys.argv):
        return None
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=limit,
        callback=AsyncCallback(
            tell_late,
            kwargs={
                # The triggerer has no DAG bundle to read the program file from.
                "program": {
                    **program.model_dump(mode="json", by_alias=True, exclude_unset=True),
                    "name": program.name,
                },
                "stage": stage,
                "hours": limit / timedelta(hours=1),
            },
        ),
        name=f"{program.name}_{stage}",
    )


# Airflow's database holds the path of this function until a deadline has passed: it must stay importable.
async def tell_late(program: str | dict[str, Any], stage: str, hours: float, context: dict[str, Any]) -> None:
    """Send the alert; Airflow awaits this in the triggerer when a deadline passes.

    :param program: the content of the program file; its name in deadlines of an earlier version.
    :param context: ``dag_run`` and ``deadline``, as JSON.
    """
    # Senders block on the network, so they run outside the triggerer's event loop.
    await asyncio.to_thread(_send, program, stage, hours, context["dag_run"])


def _send(program: str | dict[str, Any], stage: str, hours: float, run: dict[str, Any]) -> None:
    # Airflow keeps the deadline of a failed run, which had its alert when it failed.
    if run.get("state") in {"success", "failed"}:
        return
    dag_id, run_id = run["dag_id"], run["dag_run_id"]
    base = conf.get("api", "base_url", fallback="http://localhost:8080").rstrip("/")
    text = (
        f"What happened: run {run_id} of DAG {dag_id} was queued {hours:g} hours ago and is still {run['state']}.\n"
        "What to do: see which task runs, waits for a retry, or waits for an answer. A training or job of Amazon "
        "Personalize goes on by itself. If this is usual for the data, raise deadline_hours in the program file.\n"
        f"Run: {base}/dags/{dag_id}/runs/{quote(run_id)}"
    )
    found = settings.program(program) if isinstance(program, str) else parse_program(program["name"], program)
    send(found, Event.LATE, f"{stage} is late", text)


def _tested(command: Sequence[str]) -> bool:
    """Return whether this process is ``airflow dags test``, which ``make push`` runs.

    Airflow 3.3.2 cannot end a successful test of a DAG with a deadline: DagRun.update_state looks the deadline up in
    the database, where a test has none.
    """
    return list(command[1:3]) == ["dags", "test"]
