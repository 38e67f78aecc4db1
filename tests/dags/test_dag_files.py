"""The DAG files parse, cheaply, into the DAGs that the design names, on the schedules that it asks for."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pendulum
import pytest
import time_machine
from airflow.dag_processing.dagbag import DagBag
from airflow.timetables.base import TimeRestriction

from recsync.airflow_errors import RETRY_POLICY
from recsync.airflow_tasks import is_guarded

REPO = Path(__file__).resolve().parents[2]
STAGES = {
    "setup",
    "export",
    "train_full",
    "train_update",
    "rollback",
    "maintain",
    "recommend",
    "push",
    "forget",
    "retire",
}
# tune needs personalize.tuning, which the sample program has not.
OF_SOME_PROGRAMS = {"tune"}


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(REPO / "dags")


@pytest.fixture(scope="module")
def timetables(bag: DagBag) -> dict[str, Any]:
    """Give the scheduler's side of each timetable, as it comes out of serialisation."""
    from airflow.serialization.serialized_objects import DagSerialization

    return {
        dag_id.removeprefix("grocery_"): DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable
        for dag_id, dag in bag.dags.items()
    }


def test_every_stage_has_a_dag_per_program(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == {f"grocery_{stage}" for stage in STAGES}
    assert {path.stem for path in (REPO / "dags").glob("*.py")} == STAGES | OF_SOME_PROGRAMS


def test_every_task_that_touches_records_withholds_their_content(bag: DagBag) -> None:
    tasks = [task for dag in bag.dags.values() for task in dag.tasks]
    open_ones = {task.task_id for task in tasks if not is_guarded(task)}
    of_personalize = {
        task.task_id
        for task in tasks
        if getattr(task, "operator_class", type(task)).__module__.startswith("airflow_personalize.operators")
    }
    assert open_ones == of_personalize  # they see names and ARNs only
    assert len(tasks) > len(of_personalize) > 10


def test_dags_are_tagged_documented_retried_and_never_catch_up(bag: DagBag) -> None:
    for dag_id, dag in bag.dags.items():
        stage = dag_id.removeprefix("grocery_")
        assert {"grocery", stage} <= set(dag.tags)
        assert dag.doc_md
        assert "###" in dag.doc_md
        assert dag.catchup is False
        assert all(task.retries >= 1 for task in dag.tasks)
        assert all(task.retry_policy is RETRY_POLICY for task in dag.tasks)
        assert all(task.execution_timeout for task in dag.tasks if task.task_id != "approve")


def missing(param: Any) -> bool:
    """Say whether the trigger form would call the default missing and disable its button, by the form's own rule."""
    kind = param.schema.get("type")
    return bool(kind) and "null" not in kind and param.value in (None, "")


def test_the_trigger_form_of_every_dag_can_be_sent_as_it_opens(bag: DagBag) -> None:
    from airflow.sdk import Param

    params = {dag_id: dict(dag.params.items()) for dag_id, dag in bag.dags.items()}
    params |= {
        stage: runpy.run_path(str(REPO / "dags" / f"{stage}.py"))["PARAMS"] for stage in OF_SOME_PROGRAMS
    }

    assert {"recommendations", "dry_run", "replay"} <= set(params["grocery_push"])
    for dag_id, each in params.items():
        assert [name for name, param in each.items() if missing(param)] == [], dag_id
        for param in each.values():
            param.resolve()
    assert missing(Param("", type="string"))
    assert not missing(Param("", type=["null", "string"]))


def test_an_hourly_interval_holds_exactly_one_hour(timetables: dict[str, Any]) -> None:
    restriction = TimeRestriction(earliest=pendulum.datetime(2026, 11, 22), latest=None, catchup=True)
    interval = None
    starts = []
    for _ in range(5):
        info = timetables["export"].next_dagrun_info(
            last_automated_data_interval=interval, restriction=restriction
        )
        interval = info.data_interval
        starts.append(interval.start)
        assert interval.end - interval.start == timedelta(hours=1)
    assert starts == [datetime(2026, 11, 22, hour, tzinfo=UTC) for hour in range(5)]


@pytest.mark.parametrize("stage", ["train_full", "recommend"])
@pytest.mark.parametrize("now", ["2026-11-22T03:00:05Z", "2026-11-22T06:00:00Z", "2026-11-25T12:00:00Z"])
def test_a_first_unpause_starts_nothing_for_a_tick_that_is_past(
    bag: DagBag, timetables: dict[str, Any], stage: str, now: str
) -> None:
    dag = bag.dags[f"grocery_{stage}"]
    restriction = TimeRestriction(earliest=dag.start_date, latest=None, catchup=dag.catchup)
    with time_machine.travel(now, tick=False):
        info = timetables[stage].next_dagrun_info(last_automated_data_interval=None, restriction=restriction)
    assert info.run_after > datetime.fromisoformat(now)


def test_no_dag_takes_a_partition_key(timetables: dict[str, Any]) -> None:
    """A run with a key gives it to all its asset events, and a plain asset schedule takes no event with a key."""
    assert [
        stage
        for stage, timetable in timetables.items()
        if timetable.partitioned or timetable.partitioned_at_runtime
    ] == []


def test_the_page_of_handovers_names_every_asset_with_who_emits_and_who_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    include = shutil.copytree(REPO / "include", tmp_path / "include")
    with (include / "programs" / "grocery.yaml").open("a") as file:
        file.write("\ntrain_full: {drift: {}}\n")
    monkeypatch.setenv("AIRFLOW__RECSYNC__INCLUDE_FOLDER", str(include))
    found: dict[str, tuple[set[str], set[str]]] = {}
    for dag_id, dag in DagBag(REPO / "dags").dags.items():
        stage = dag_id.removeprefix("grocery_")
        for task in dag.tasks:
            for outlet in task.outlets:
                found.setdefault(outlet.name, (set(), set()))[0].add(f"{stage}.{task.task_id}")
        for taken in getattr(getattr(dag.timetable, "asset_condition", None), "objects", ()):
            found.setdefault(taken.name, (set(), set()))[1].add(stage)
    page = (REPO / "docs" / "handovers.md").read_text()
    rows = re.findall(r"^\| `<program>_(\w+)` \| ([^|]+) \| `(\w+)` \|", page, re.MULTILINE)
    documented = {
        f"grocery_{asset}": (set(re.findall(r"`([\w.]+)`", emitters)), {taker})
        for asset, emitters, taker in rows
    }
    assert documented == found


def test_heavy_libraries_are_not_imported_to_parse_a_dag() -> None:
    code = (
        "import sys; sys.path[:0] = ['plugins', 'dags']\n"
        "import airflow.sdk\n"
        "before = set(sys.modules)\n"
        "import export, train_full, train_update, recommend, push\n"
        "print(sorted({'pandas', 'pyarrow', 'psycopg'} & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_airflow_executes_only_the_plugin_module() -> None:
    from airflow._shared.module_loading import find_path_from_directory

    found = find_path_from_directory(str(REPO / "plugins"), ".airflowignore", "glob")
    executed = {Path(path).relative_to(REPO / "plugins").as_posix() for path in found if path.endswith(".py")}
    assert executed == {"recsync_plugin.py"}


def test_every_sql_file_is_used_by_a_program() -> None:
    from recsync.program.files import program_files, read_program

    include = REPO / "include"
    used = {name for path in program_files(include) for name in read_program(path, include).files()}
    there = {
        p.relative_to(include).as_posix()
        for kind in ("sql", "schemas")
        for p in (include / kind).rglob("*.*")
    }
    assert there == used


def test_an_update_trains_the_champions_solution_and_sets_up_no_solution(bag: DagBag) -> None:
    update, full = bag.dags["grocery_train_update"], bag.dags["grocery_train_full"]
    trains = "{{ ti.xcom_pull(task_ids='plan')['solution_arn'] }}"
    assert update.get_task("solution_version").solution_arn == trains
    assert "setup.solution" in full.task_ids
    assert "setup.solution" not in update.task_ids


def test_every_import_and_training_asks_for_the_lease_also_when_it_is_cleared_alone(bag: DagBag) -> None:
    from recsync.task_groups.exclusion import HoldsLease

    asked = {
        (dag_id, task.task_id): getattr(task, "partial_kwargs", {}).get("pre_execute")
        or getattr(task, "_pre_execute_hook", None)
        for dag_id, dag in bag.dags.items()
        for task in dag.tasks
        if task.task_id == "import" or task.task_id.endswith("solution_version")
    }
    assert {dag_id for dag_id, _ in asked} == {"grocery_train_full", "grocery_train_update"}
    assert {key: hook for key, hook in asked.items() if not isinstance(hook, HoldsLease)} == {}
    assert all(hook.imports is (task_id == "import") for (_, task_id), hook in asked.items())
