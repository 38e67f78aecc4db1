"""Tell people that a run takes longer than the program file allows."""

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
from recsync.alerts.send import send
from recsync.program import Event, Program

_ENDED = frozenset({"success", "failed"})


def deadline(program: Program, stage: str) -> DeadlineAlert | None:
    """Return the deadline of a stage's runs; None without a deadline or without an alert for late runs.

    It counts from when a run was queued: runs that an asset or a person started have no logical date.
    """
    hours = program.deadline_hours.of(stage)
    told = any(alert.wants(Event.LATE) for alert in program.alerts)
    if hours is None or not told or _tested(sys.argv):
        return None
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=hours),
        callback=AsyncCallback(tell_late, kwargs={"program": program.name, "stage": stage, "hours": hours}),
        name=f"{program.name}_{stage}",
    )


async def tell_late(program: str, stage: str, hours: float, context: dict[str, Any]) -> None:
    """Tell the program's destinations; Airflow awaits this in the triggerer when a deadline passes.

    :param context: ``dag_run`` and ``deadline``, as JSON.
    """
    # Senders block on the network, so they run outside the triggerer's event loop.
    await asyncio.to_thread(_tell, program, stage, hours, context["dag_run"])


def _tell(name: str, stage: str, hours: float, run: dict[str, Any]) -> None:
    if run.get("state") in _ENDED:
        # Airflow keeps the deadline of a run that failed; its failure was told when it happened.
        return
    send(settings.program(name), Event.LATE, f"{stage} is late", _text(hours, run))


def _text(hours: float, run: dict[str, Any]) -> str:
    dag_id, run_id = run["dag_id"], run["dag_run_id"]
    base = conf.get("api", "base_url", fallback="http://localhost:8080").rstrip("/")
    return "\n".join(
        (
            f"What happened: run {run_id} of DAG {dag_id} was queued {hours:g} hours ago and is still {run['state']}.",
            "What to do: see which task runs, waits to be tried again, or waits for an answer. A training or job of "
            "Amazon Personalize goes on by itself. If this is usual for the data, raise deadline_hours in the program "
            "file.",
            f"Run: {base}/dags/{dag_id}/runs/{quote(run_id)}",
        )
    )


def _tested(command: Sequence[str]) -> bool:
    """Return whether this process is ``airflow dags test``, which ``make push`` runs.

    Airflow 3.3.2 cannot end a successful test of a DAG with a deadline: DagRun.update_state looks the deadline up in
    the database, where a test has none.
    """
    return list(command[1:3]) == ["dags", "test"]
