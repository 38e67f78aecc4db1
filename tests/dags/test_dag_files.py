"""The DAG files parse, cheaply, into the DAGs that the design names, on the schedules that it asks for."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
import pytest
import time_machine
import yaml
from airflow.dag_processing.dagbag import DagBag
from airflow.timetables.base import DataInterval, TimeRestriction

from recsync.airflow_tasks import RETRY_POLICY, is_guarded
from recsync.program.intervals import Interval
from recsync.stages import POOLS, STAGES

REPO = Path(__file__).resolve().parents[2]
# The sample program has no optional stage, such as tune, which needs personalize.tuning.
OF_SOME_PROGRAMS = {stage.name for stage in STAGES if stage.optional}


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(REPO / "dags")


@pytest.fixture(scope="module")
def timetables(bag: DagBag) -> dict[str, Any]:
    """Give the scheduler's side of each timetable, as it comes out of serialisation."""
    return {dag_id.removeprefix("grocery_"): scheduled(dag) for dag_id, dag in bag.dags.items()}


def scheduled(dag: Any) -> Any:
    """Return the scheduler's side of a DAG's timetable."""
    from airflow.serialization.serialized_objects import DagSerialization

    return DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable


def test_every_stage_has_a_dag_per_program(bag: DagBag) -> None:
    assert bag.import_errors == {}
    # The sample program limits the age of lists and has an experiment; it tunes nothing and writes no tables.
    missing = {"tune", "tables"}
    assert set(bag.dags) == {f"grocery_{stage.name}" for stage in STAGES if stage.name not in missing}


def test_the_stages_with_a_lock_wait_for_it(bag: DagBag) -> None:
    locked = {f"grocery_{stage.name}" for stage in STAGES if stage.lock and not stage.optional}
    assert {dag_id for dag_id, dag in bag.dags.items() if "hold" in dag.task_ids} == locked


def test_every_task_has_the_pool_and_the_weight_of_its_stage(
    bag: DagBag, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.models.pool import Pool

    monkeypatch.setenv("AIRFLOW__RECSYNC__POOLS", "true")
    monkeypatch.setenv("AIRFLOW__RECSYNC__HEAVY_POD_TEMPLATE", "/templates/heavy.yaml")
    for stage in [each for each in STAGES if each.name in {"export", "push", "maintain"}]:
        for task in DagBag(REPO / "dags" / f"{stage.name}.py").dags[f"grocery_{stage.name}"].tasks:
            heavy = bool(stage.pool and POOLS[stage.pool].heavy)
            config = {"pod_template_file": "/templates/heavy.yaml"} if heavy else None
            found = (
                task.pool,
                task.priority_weight,
                task.max_active_tis_per_dag,
                task.executor_config or None,
            )
            assert found == (stage.pool or Pool.DEFAULT_POOL_NAME, stage.weight, stage.tasks_at_once, config)
    # Without the setting no pool is named: a task whose pool does not exist never starts.
    for stage in [each for each in STAGES if f"grocery_{each.name}" in bag.dags]:
        tasks = bag.dags[f"grocery_{stage.name}"].tasks
        assert {(task.pool, task.priority_weight) for task in tasks} == {
            (Pool.DEFAULT_POOL_NAME, stage.weight)
        }


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


@pytest.fixture
def include(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy ``include/`` for a changed program file."""
    copied = shutil.copytree(REPO / "include", tmp_path / "include")
    monkeypatch.setenv("AIRFLOW__RECSYNC__INCLUDE_FOLDER", str(copied))
    return Path(copied)


def simulate(
    include: Path, stage: str, start: datetime, days: int, every: timedelta, **crons: str
) -> list[Any]:
    """Return the runs that a scheduler starts in so many days, parsing the DAG file every so often."""
    path = include / "programs" / "grocery.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"schedules": crons}))
    dag = DagBag(REPO / "dags" / f"{stage}.py").dags[f"grocery_{stage}"]
    timetable, found = scheduled(dag), list[Any]()
    # Exports have a start date; the other stages begin with the first tick after an earlier run.
    last = None if dag.start_date else DataInterval.exact(pendulum.instance(start))
    restriction = TimeRestriction(earliest=dag.start_date, latest=None, catchup=dag.catchup)
    for number in range(1, timedelta(days=days) // every + 1):
        now = start + number * every + timedelta(seconds=5)
        with time_machine.travel(now, tick=False):
            info = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
        if info.run_after <= now and (last is None or info.run_after > last.end):
            found.append(info)
            last = info.data_interval
    return found


def test_a_stage_that_waits_for_upstream_assets_is_read_by_the_scheduler(include: Path) -> None:
    path = include / "programs" / "grocery.yaml"
    upstream = {"after": ["postgres://warehouse:5432/shop/marts/orders"], "cron": "30 6 * * *"}
    stages = ("export", "train_full", "recommend", "push", "maintain")
    schedules = {"timezone": "Europe/Berlin", **dict.fromkeys(stages, upstream)}
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"schedules": schedules}))
    dags = DagBag(REPO / "dags").dags
    for stage in stages:
        dag = dags[f"grocery_{stage}"]
        assert scheduled(dag).summary == "Asset or 30 6 * * * Europe/Berlin"
        assert dag.max_active_runs == 1
        assert [task.task_id for task in dag.roots] == ["unless_upstream"]
    assert "unless_upstream" not in dags["grocery_setup"].task_ids


# The 30 days from here on hold the changes of both zones.
CHANGES = {"spring": datetime(2026, 3, 1, tzinfo=UTC), "autumn": datetime(2026, 10, 7, tzinfo=UTC)}


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("change", CHANGES)
def test_thirty_days_across_a_change_of_the_clocks(include: Path, zone: str, change: str) -> None:
    start = CHANGES[change]
    crons = {"timezone": zone, "recommend": "0 6 * * *", "export": "30 2 * * *"}
    runs = simulate(include, "recommend", start, 30, timedelta(hours=3), **crons)
    mails = [info.run_after.astimezone(ZoneInfo(zone)) for info in runs]
    assert {f"{at:%H:%M}" for at in mails} == {"06:00"}
    days = [at.date() for at in mails]
    assert days == [days[0] + timedelta(days=n) for n in range(len(days))]
    assert len(days) >= 29
    assert len({at.utcoffset() for at in mails}) == 2, "both halves of the year"

    daily = [
        info.data_interval for info in simulate(include, "export", start, 30, timedelta(hours=3), **crons)
    ]
    assert all(before.end == after.start for before, after in pairwise(daily)), "none lost, none doubled"
    assert len({Interval(each.start, each.end).key for each in daily}) == len(daily) >= 29


@pytest.mark.parametrize("change", CHANGES)
def test_thirty_days_of_hours_across_a_change_of_the_clocks(include: Path, change: str) -> None:
    start, hour = CHANGES[change], timedelta(hours=1)
    runs = simulate(include, "export", start, 30, hour, timezone="Europe/Berlin", export="0 * * * *")
    assert [(info.data_interval.start, info.data_interval.end) for info in runs] == [
        (start + n * hour, start + (n + 1) * hour) for n in range(24 * 30)
    ]


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
    include: Path,
) -> None:
    with (include / "programs" / "grocery.yaml").open("a") as file:
        file.write("\ntrain_full: {drift: {}}\ntables: {}\n")
    # Two programs over its data: one with its model, one with a model of its own.
    for name, model in (("winback", "personalize: {model: grocery}"), ("again", "")):
        shutil.copytree(include / "sql" / "grocery", include / "sql" / name)
        text = f"data: grocery\n{model}\nbraze: {{attribute: {name}}}\n"
        (include / "programs" / f"{name}.yaml").write_text(text)
    found: dict[str, tuple[set[str], set[str]]] = {}
    for dag_id, dag in DagBag(REPO / "dags").dags.items():
        stage = dag_id.partition("_")[2]
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
    assert documented == {name: each for name, each in found.items() if name.startswith("grocery_")}


def test_heavy_libraries_are_not_imported_to_parse_a_dag() -> None:
    code = (
        "import sys; sys.path[:0] = ['plugins', 'dags']\n"
        "import airflow.sdk\n"
        "before = set(sys.modules)\n"
        f"import {', '.join(sorted(stage.name for stage in STAGES))}\n"
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
    from recsync.task_groups.lock import AssertLock

    asked = {
        (dag_id, task.task_id): getattr(task, "partial_kwargs", {}).get("pre_execute")
        or getattr(task, "_pre_execute_hook", None)
        for dag_id, dag in bag.dags.items()
        for task in dag.tasks
        if task.task_id == "import" or task.task_id.endswith("solution_version")
    }
    assert {dag_id for dag_id, _ in asked} == {"grocery_train_full", "grocery_train_update"}
    assert {key: hook for key, hook in asked.items() if not isinstance(hook, AssertLock)} == {}
    assert all(hook.imports is (task_id == "import") for (_, task_id), hook in asked.items())
