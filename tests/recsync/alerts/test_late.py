"""A run that is late, from the deadline in the metadata database to the message."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import task

from recsync.alerts.late import deadline
from recsync.dag_kit import stage_dag
from recsync.program import Program
from recsync.program.parse import parse_program

WEBHOOK = {"via": "webhook", "connection": "team", "every_minutes": 0}


@pytest.fixture
def include(tmp_path: Path, program_name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An include/ folder with the program's file: the triggerer reads it by name."""
    for folder in ("programs", f"sql/{program_name}", f"schemas/{program_name}"):
        (tmp_path / folder).mkdir(parents=True)
    for query in ("interactions", "audience", "catalogue"):
        (tmp_path / f"sql/{program_name}/{query}.sql").write_text("SELECT 1")
    (tmp_path / f"schemas/{program_name}/interactions.json").write_text(
        '{"type": "record", "name": "Interactions", "namespace": "com.amazonaws.personalize.schema",'
        ' "version": "1.0", "fields": [{"name": "USER_ID", "type": "string"},'
        ' {"name": "ITEM_ID", "type": "string"}, {"name": "TIMESTAMP", "type": "long"}]}'
    )
    (tmp_path / f"programs/{program_name}.yaml").write_text(
        "braze: {attribute: recs}\nalerts: [{via: webhook, connection: team, every_minutes: 0}]\n"
    )
    monkeypatch.setenv("AIRFLOW__RECSYNC__INCLUDE_FOLDER", str(tmp_path))
    return tmp_path


def missed(save_dag: Any, shop: Program, state: str) -> tuple[Any, list[Any]]:
    """Let the deadline of a run pass: do what the scheduler does then, and the triggerer after it."""
    from airflow.models.dagrun import DagRun
    from airflow.models.deadline import Deadline
    from airflow.triggers.callback import CallbackTrigger
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with stage_dag(shop, "push", schedule=None, doc_md=None) as dag:
        task(lambda: None, task_id="nothing")()
    save_dag(dag)
    run = queued_run(dag.dag_id)
    with create_session() as session:
        deadline = session.scalars(select(Deadline).where(Deadline.dagrun_id == run.id)).one()
        assert deadline.deadline_time - run.queued_at == timedelta(hours=12)
        session.get(DagRun, run.id).state = state
        session.flush()
        deadline.handle_miss(session)
        data = deadline.callback.data
    return run, asyncio.run(collected(CallbackTrigger(data["path"], data["kwargs"])))


def test_a_missed_deadline_is_told_with_the_run_and_how_late_it_is(
    save_dag: Any, include: Path, program: Any, webhook: Any
) -> None:
    run, events = missed(save_dag, program(WEBHOOK), "running")
    assert [event.payload["state"] for event in events] == ["running", "success"]
    (body,) = webhook.bodies
    assert body["event"] == "late"
    assert body["subject"].endswith(": push is late")
    assert (
        f"run {run.run_id} of DAG {run.dag_id} was queued 12 hours ago and is still running" in body["text"]
    )
    assert f"/dags/{run.dag_id}/runs/{run.run_id}" in body["text"]


def test_a_run_that_failed_is_not_late_as_well(
    save_dag: Any, include: Path, program: Any, webhook: Any
) -> None:
    _, events = missed(save_dag, program(WEBHOOK), "failed")
    assert [event.payload["state"] for event in events] == ["running", "success"]
    assert webhook.posted == []


def queued_run(dag_id: str) -> Any:
    """Queue a run as a person does who triggers the DAG."""
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    with create_session() as session:
        return SerializedDagModel.get_dag(dag_id, session=session).create_dagrun(
            run_id="manual__1",
            run_after=datetime.now(UTC),
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.QUEUED,
            session=session,
        )


async def collected(trigger: Any) -> list[Any]:
    return [event async for event in trigger.run()]


def test_nobody_to_tell_and_no_hours_mean_no_deadline(program: Any) -> None:
    assert deadline(program(), "push") is None
    assert deadline(program(WEBHOOK | {"events": ["failure"]}), "push") is None
    assert deadline(program(WEBHOOK, deadline_hours={"push": None}), "push") is None
    assert deadline(program(WEBHOOK), "no_such_stage") is None


def test_a_tested_dag_has_none_because_airflow_could_not_end_its_run(
    program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["/opt/airflow", "dags", "test", "shop_push"])
    assert deadline(program(WEBHOOK), "push") is None
    monkeypatch.setattr("sys.argv", ["/opt/airflow", "dag-processor"])
    assert deadline(program(WEBHOOK), "push") is not None


def test_the_deadline_holds_what_the_program_file_says(program: Any) -> None:
    """The triggerer has no DAG bundle with the file."""
    owner = program(WEBHOOK, schedules={"timezone": "Europe/Berlin", "export": {"after": ["s3://b/k"]}})
    found = deadline(owner, "push")
    assert found is not None
    held = json.loads(json.dumps(found.callback.kwargs["program"]))
    assert parse_program(held["name"], held) == owner


def test_hours_are_the_programs(program: Any) -> None:
    found = deadline(program(WEBHOOK | {"events": ["late"]}, deadline_hours={"push": 0.5}), "push")
    assert found is not None
    assert found.interval == timedelta(minutes=30)
