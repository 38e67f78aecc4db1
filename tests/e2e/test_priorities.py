"""Which tasks Airflow's scheduler starts when slots are rare: one program's flood leaves room for the others."""

from __future__ import annotations

import runpy
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dag_runs import DAGS, serialise

from recsync.stages import BY_NAME, POOLS

REPO = DAGS.parent
SLOTS = 8
NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)


@pytest.fixture
def scheduler(airflow_database: None) -> Iterator[Any]:
    """Give the scheduler's choice of tasks, on a database without other runs."""
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    def forget_runs() -> None:
        with create_session() as session:
            session.execute(delete(DagRun))

    forget_runs()
    yield SchedulerJobRunner(Job(), num_runs=1)
    forget_runs()


@pytest.fixture
def exports(include: Path, monkeypatch: pytest.MonkeyPatch, pools: dict[str, int]) -> dict[str, Any]:
    """Give the export DAGs of two programs, as the scheduler reads them."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    monkeypatch.setenv("AIRFLOW__RECSYNC__POOLS", "true")
    (include / "programs").mkdir()
    for name in ("flooding", "other"):
        program = (REPO / "include/programs/grocery.yaml").read_text().replace("grocery", name)
        (include / f"programs/{name}.yaml").write_text(program)
        for folder in ("sql", "schemas"):
            shutil.copytree(REPO / f"include/{folder}/grocery", include / f"{folder}/{name}")
    bag = DagBag(DAGS / "export.py", bundle_name="testing", bundle_path=DAGS)
    assert not bag.import_errors
    for dag in bag.dags.values():
        serialise(dag)
    return {
        name: DagSerialization.from_dict(DagSerialization.to_dict(bag.dags[f"{name}_export"]))
        for name in ("flooding", "other")
    }


@pytest.fixture
def pools(airflow_database: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Create the pools as a deployment does, and give their slots."""
    from airflow.models.pool import Pool

    monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", str(SLOTS))
    assert runpy.run_path(str(REPO / "deploy/create_pools.py"))["main"]() == 0
    return {pool.pool: pool.slots for pool in Pool.get_pools()}


def test_a_deployment_creates_its_pools_and_keeps_slots_that_a_person_changed(pools: dict[str, int]) -> None:
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session

    assert pools == pools | {name: pool.slots(SLOTS) for name, pool in POOLS.items()}
    with create_session() as session:
        Pool.get_pool("recsync_heavy", session=session).slots = 7
    assert runpy.run_path(str(REPO / "deploy/create_pools.py"))["main"]() == 0
    assert Pool.get_pool("recsync_heavy").slots == 7
    with create_session() as session:
        Pool.get_pool("recsync_heavy", session=session).slots = pools["recsync_heavy"]


def run(dag: Any, run_type: str, hour: datetime, *, of: str, instances: int) -> None:
    """Begin a run whose mapped task ``of`` has instances that wait for a slot."""
    from airflow.models.dag import DagModel
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState, TaskInstanceState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    kind = DagRunType(run_type)
    with create_session() as session:
        session.get(DagModel, dag.dag_id).is_paused = False
        dag_run = dag.create_dagrun(
            run_id=kind.generate_run_id(suffix=hour.isoformat()),
            logical_date=hour,
            data_interval=(hour, hour + timedelta(hours=1)),
            run_after=hour + timedelta(hours=1),
            run_type=kind,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.RUNNING,
            session=session,
        )
        (first,) = (ti for ti in dag_run.get_task_instances(session=session) if ti.task_id == of)
        for index in range(instances):
            ti = first if index == 0 else TaskInstance(
                dag.get_task(of), run_id=dag_run.run_id, map_index=index, dag_version_id=first.dag_version_id
            )  # fmt: skip
            ti.map_index = index
            ti.state = TaskInstanceState.SCHEDULED
            session.merge(ti)


def started(scheduler: Any, slots: int) -> list[tuple[str, str]]:
    """Let the scheduler queue what it would start, and give the program and the kind of each run."""
    from airflow.utils.session import create_session

    with create_session() as session:
        queued = scheduler._executable_task_instances_to_queued(max_tis=slots, session=session)
        return [(ti.dag_id.removesuffix("_export"), ti.run_id.partition("__")[0]) for ti in queued]


def test_the_run_of_this_hour_starts_before_a_backfill_of_another_program(
    scheduler: Any, exports: dict[str, Any]
) -> None:
    for hours in range(1, 20):
        run(
            exports["flooding"],
            "backfill",
            NOW - timedelta(hours=hours),
            of="export_interactions",
            instances=1,
        )
    run(exports["other"], "scheduled", NOW, of="export_interactions", instances=1)
    # Airflow alone would take the oldest run first, and this one last of twenty.
    assert started(scheduler, 1) == [("other", "scheduled")]
    assert started(scheduler, 1) == [("flooding", "backfill")]


def test_a_program_with_many_intervals_leaves_slots_of_the_pool_to_others(
    scheduler: Any, exports: dict[str, Any]
) -> None:
    run(exports["flooding"], "scheduled", NOW - timedelta(hours=1), of="export_interactions", instances=72)
    run(exports["other"], "scheduled", NOW, of="export_interactions", instances=1)
    # Two rounds: the scheduler looks at as many tasks as there are slots, and begins with the oldest run.
    found = Counter(name for _ in range(2) for name, _ in started(scheduler, SLOTS))
    assert found == {"flooding": BY_NAME["export"].tasks_at_once, "other": 1}
