from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from airflow.sdk import DAG, Asset, AssetAll, AssetAny, AssetOrTimeSchedule, CronTriggerTimetable
from airflow.sdk.definitions.asset import AssetUriRef
from stage_shop import StageShop

from recsync.dag_kit import (
    asset,
    check_first,
    optional_text,
    programs,
    schedule,
    stage_dag,
    start_once,
)
from recsync.program.parse import parse_program
from recsync.stages import STAGES
from recsync.timetables import LocalCronDataIntervalTimetable

SHOP = parse_program("shop", {"braze": {"attribute": "recs"}})


def test_a_schedule_is_a_cron_expression_assets_both_or_nothing() -> None:
    exports = asset(SHOP, "exports")
    assert isinstance(schedule(SHOP, "recommend"), CronTriggerTimetable)
    assert schedule(SHOP, "train_update", exports) == [exports]
    assert isinstance(schedule(SHOP, "recommend", exports), AssetOrTimeSchedule)
    assert schedule(SHOP, "tune") is None
    assert exports == Asset(name="shop_exports", uri="recsync://shop/exports")


WAITING = parse_program(
    "waiting",
    {
        "braze": {"attribute": "recs"},
        "schedules": {
            "timezone": "Europe/Berlin",
            "export": {"after": ["s3://shop/orders/", "s3://shop/items"], "cron": "0 6 * * *"},
            "recommend": {"after": ["s3://shop/orders"]},
        },
    },
)


def test_a_stage_waits_for_all_upstream_assets_or_for_one_of_its_own() -> None:
    timetable = schedule(WAITING, "export")
    assert isinstance(timetable, AssetOrTimeSchedule)
    assert isinstance(timetable.timetable, LocalCronDataIntervalTimetable)
    uris = [AssetUriRef("s3://shop/orders"), AssetUriRef("s3://shop/items")]
    (all_of_them,) = timetable.asset_condition.objects
    assert isinstance(all_of_them, AssetAll)
    assert list(all_of_them.objects) == uris
    champion = asset(WAITING, "champion")
    either = schedule(WAITING, "recommend", champion)
    assert isinstance(either, AssetAny)
    first, (orders,) = either.objects[0], either.objects[1].objects
    assert (first, orders) == (champion, uris[0])


@pytest.mark.parametrize("stage", ["export", "recommend", "push"])
def test_only_a_stage_with_upstream_assets_and_a_deadline_checks_it_first(stage: str) -> None:
    from airflow.providers.standard.operators.empty import EmptyOperator

    with stage_dag(WAITING, stage, schedule=None, doc_md=None) as dag:
        EmptyOperator(task_id="a") >> EmptyOperator(task_id="b")
        start_once(dag, WAITING, stage)
    assert [task.task_id for task in dag.roots] == (["unless_upstream"] if stage == "export" else ["a"])


def test_an_optional_text_may_stay_empty() -> None:
    param = optional_text("run to deliver")
    assert param.resolve() is None
    assert param.schema["type"] == ["null", "string"]


def test_every_task_of_a_stage_has_its_time_limit_and_waits_for_the_preflight() -> None:
    from airflow.providers.standard.operators.empty import EmptyOperator

    for stage in STAGES:
        with stage_dag(SHOP, stage.name, schedule=None, doc_md=None) as dag:
            EmptyOperator(task_id="a") >> EmptyOperator(task_id="b")
            check_first(dag, SHOP)
        assert dag.dag_id == f"shop_{stage.name}"
        assert {task.execution_timeout.total_seconds() for task in dag.tasks} == {
            3600 * stage.task_timeout_hours
        }
        assert [task.task_id for task in dag.roots] == ["preflight"]


def test_a_broken_program_gets_a_dag_that_shows_the_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    enter = DAG.__enter__
    monkeypatch.setattr(
        DAG, "__enter__", lambda dag: made.append(f"{dag.dag_id}: {dag.doc_md}") or enter(dag)
    )
    monkeypatch.setenv("AIRFLOW__RECSYNC__INCLUDE_FOLDER", str(tmp_path))
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / "shop.yaml").write_text("braze: {atribute: recs}\n")
    assert list(programs("export", str(tmp_path / "dags" / "export.py"))) == []
    (told,) = made
    assert told.startswith("shop_export: **The program file must be corrected")
    assert "shop.yaml:1: braze.atribute: unknown field; did you mean attribute?" in told


@pytest.mark.parametrize("stage", ["recommend", "push"])
def test_experiments_that_take_the_people_of_each_other_stop_only_recommend(
    stage_shop: StageShop, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    made: list[str] = []
    enter = DAG.__enter__
    monkeypatch.setattr(DAG, "__enter__", lambda dag: made.append(str(dag.doc_md)) or enter(dag))
    arms = {"a": {"share": 0.5, "gets": "champion"}, "b": {"share": 0.1, "gets": "nothing"}}
    shutil.copytree(stage_shop.include / "sql/shop", stage_shop.include / "sql/wine")
    for name in ("shop", "wine"):
        (stage_shop.include / "sql" / name / "outcomes.sql").write_text("SELECT 1")
        content = {
            "braze": {"attribute": f"recs_{name}"},
            "datasets": {"interactions": {"schema": "shop/interactions.json"}},
            "experiment": {"name": f"of-{name}", "layer": "mail", "arms": arms},
        }
        (stage_shop.include / "programs" / f"{name}.yaml").write_text(json.dumps(content))
    found = [program.name for program in programs(stage, str(stage_shop.include / "dags" / "x.py"))]
    if stage == "push":
        assert (found, made) == (["shop", "wine"], [])
        return
    assert found == []
    assert len(made) == 2
    assert all("ask for 1.2 of the people together (shop 0.6, wine 0.6)" in text for text in made)
