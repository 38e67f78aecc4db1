"""The steps of a training as tasks of a DAG, and the answer of the person who approves."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk import DAG, AssetAny, task
from stage_shop import NDCG, SOLUTION_ARN, StageShop

from recsync import settings
from recsync.dag_kit import DEFAULT_ARGS, asset, schedule, streamed_asset, streamed_row_assets
from recsync.errors import ProgramError
from recsync.evaluation.store import Champion, ChampionStore, PromotionOutcome
from recsync.task_groups.lock import AssertLock
from recsync.task_groups.setup import setup
from recsync.task_groups.training import ApprovePromotionOperator, stream, train, tune

IMPORTS = {"import_jobs", "version_names", "import", "record_imports"}
ONE_VERSION = {"solution_version", "metrics"}


@task(multiple_outputs=False)
def plan() -> dict[str, Any]:
    """Stand where the DAG's own task stands."""
    return {}


@task
def publish() -> None:
    """Stand where the DAG's own task stands."""


def training(shop: StageShop, mode: str = "FULL", **fields: Any) -> DAG:
    program = shop.write(**fields).program
    with DAG("shop_train", schedule=None, default_args=DEFAULT_ARGS) as dag:
        planned = plan()
        resources = setup(program, planned, solutions=mode == "FULL")
        train(program, planned, resources, mode, after=publish())
    return dag


def own_tasks(dag: DAG) -> set[str]:
    return {name for name in dag.task_ids if not name.startswith("setup.")} - {"plan", "publish"}


@pytest.mark.parametrize("mode", ["FULL", "UPDATE"])
def test_a_training_imports_trains_judges_and_promotes(stage_shop: StageShop, mode: str) -> None:
    dag = training(stage_shop, mode)
    assert own_tasks(dag) == {*IMPORTS, *ONE_VERSION, "judge", "promote"}
    assert dag.get_task("import_jobs").upstream_task_ids >= {"plan", "publish"}
    assert dag.get_task("record_imports").trigger_rule == "none_failed_min_one_success"
    version: Any = dag.get_task("solution_version")
    assert version.training_mode == mode
    assert "record_imports" in version.upstream_task_ids
    assert version._pre_execute_hook == AssertLock("shop"), "nothing is billed without the lock"
    planned_solution = "{{ ti.xcom_pull(task_ids='plan')['solution_arn'] }}"
    assert (version.solution_arn == planned_solution) == (mode == "UPDATE")


def test_every_solution_is_trained_and_the_best_is_judged(stage_shop: StageShop) -> None:
    rival = {"recipe": "aws-user-personalization", "event_type": "buy"}
    personalize = {"baseline_recipe": "aws-popularity-count", "challengers": {"rival": rival}}
    for best in (False, True):
        dag = training(stage_shop, personalize={**personalize, "promote_best": best})
        prefixed = {f"{p}{name}" for p in ("baseline_", "challenger_rival_") for name in ONE_VERSION}
        assert own_tasks(dag) == {*IMPORTS, *ONE_VERSION, *prefixed, "compare", "judge", "promote"}
        assert dag.get_task("compare").trigger_rule == "none_skipped", "a failed challenger stops nothing"
        before = dag.get_task("judge").upstream_task_ids
        assert before == ({"compare", "baseline_metrics"} if best else {*ONE_VERSION, "baseline_metrics"})


@pytest.mark.parametrize(
    ("approval", "mode", "asks"),
    [("never", "FULL", False), ("full", "FULL", True), ("full", "UPDATE", False), ("always", "UPDATE", True)],
)
def test_a_person_is_asked_where_the_program_says(
    stage_shop: StageShop, approval: str, mode: str, asks: bool
) -> None:
    dag = training(stage_shop, mode, gate={"approval": approval, "approval_hours": 2})
    assert ("approve" in dag.task_ids) == asks
    if asks:
        approve: Any = dag.get_task("approve")
        assert approve.response_timeout.total_seconds() == 2 * 3600
        assert approve.defaults == ["Reject"]
        assert "approve" in dag.get_task("promote").upstream_task_ids


@pytest.mark.parametrize(
    ("mode", "after_update", "starts"),
    [("FULL", False, True), ("UPDATE", False, False), ("UPDATE", True, True)],
)
def test_a_new_champion_starts_recommend(
    stage_shop: StageShop, mode: str, after_update: bool, starts: bool
) -> None:
    dag = training(stage_shop, mode, schedules={"recommend_after_update": after_update})
    assert bool(dag.get_task("promote").outlets) == starts


def test_a_search_trains_one_version_with_the_ranges_and_pins_its_winners(stage_shop: StageShop) -> None:
    ranges = {"hidden_dimension": [32, 40]}
    program = stage_shop.write(personalize={"tuning": {"ranges": ranges}}).program
    with DAG("shop_tune", schedule=None, default_args=DEFAULT_ARGS) as dag:
        planned = plan()
        tune(program, planned, setup(program, planned, solutions=False))
    assert own_tasks(dag) == {"solution", "version_name", "solution_version", "metrics", "pin"}
    solution: Any = dag.get_task("solution")
    assert solution.perform_hpo
    assert "hidden_dimension" in str(solution.solution_config["hpoConfig"])
    assert "setup.dataset_interactions" in solution.upstream_task_ids
    assert dag.get_task("pin").upstream_task_ids == {"solution_version", "metrics"}


@pytest.mark.parametrize(("answer", "rejected"), [("Approve", False), ("Reject", True)])
def test_the_answer_of_a_person_is_passed_on_and_a_rejection_recorded(
    stage_shop: StageShop, answer: str, rejected: bool
) -> None:
    candidate = asdict(Champion(f"{SOLUTION_ARN}/1", "FULL", "2026", "run", {NDCG: 0.5}))
    judged = {"candidate": candidate, "champion": "none", "table": ""}
    approve = ApprovePromotionOperator(task_id="approve", program="shop", judged=judged)
    event = {
        "chosen_options": [answer],
        "params_input": {},
        "responded_at": datetime(2026, 11, 22, tzinfo=UTC),
        "responded_by_user": {"id": "1", "name": "Ada"},
    }
    context: Any = {"task": approve}
    assert approve.execute_complete(context, event) == {"by": "Ada"}
    found = [(e.outcome, e.by) for e in stage_shop.context.store(ChampionStore).evaluated()]
    assert found == ([(PromotionOutcome.REJECTED, "Ada")] if rejected else [])


EVENTS = {"update_by": "events", "recipe": "aws-user-personalization-v2"}


def streaming(shop: StageShop, **fields: Any) -> DAG:
    program = shop.write(**fields).program
    with DAG("shop_train_update", schedule=None, default_args=DEFAULT_ARGS) as dag:
        planned = plan()
        stream(program, planned, setup(program, planned, solutions=False))
    return dag


def test_rows_are_streamed_once_the_tracker_and_the_datasets_are_there_and_announced_when_they_count(
    stage_shop: StageShop,
) -> None:
    dag = streaming(stage_shop, personalize=EVENTS, datasets={"items": {}})
    assert {name for name in dag.task_ids if not name.startswith("setup.")} == {
        "plan", "stream", "wait", "announce"
    }  # fmt: skip
    upstream = {"plan", "setup.event_tracker", "setup.dataset_interactions", "setup.dataset_items"}
    assert dag.get_task("stream").upstream_task_ids == upstream
    assert dag.get_task("wait").upstream_task_ids == {"stream"}
    announced: Any = dag.get_task("announce")
    assert announced.upstream_task_ids == {"wait", "stream"}
    assert [outlet.name for outlet in announced.outlets] == ["shop_streamed"]


def test_rows_wait_for_the_metric_attribution(stage_shop: StageShop) -> None:
    metrics = {"metrics": [{"name": "bought", "event": "buy"}]}
    dag = streaming(stage_shop, personalize={**EVENTS, "attribution": metrics})
    assert "setup.metrics" in dag.get_task("stream").upstream_task_ids


def test_recommend_follows_streamed_rows_where_they_change_lists(stage_shop: StageShop) -> None:
    program = stage_shop.write(personalize=EVENTS).program
    assert streamed_row_assets(program) == [streamed_asset(program)]
    assert streamed_row_assets(stage_shop.write().program) == []
    waits = {"recommend_after_update": False}
    assert streamed_row_assets(stage_shop.write(personalize=EVENTS, schedules=waits).program) == []


def test_programs_over_the_data_follow_the_owners_rows_and_decide_nothing_about_them(
    stage_shop: StageShop,
) -> None:
    owner = stage_shop.write(personalize=EVENTS).program
    (stage_shop.include / "sql" / "other").mkdir()
    for query in ("audience", "catalogue"):
        (stage_shop.include / "sql" / "other" / f"{query}.sql").write_text("SELECT 1")
    path = stage_shop.include / "programs" / "other.yaml"
    other = {
        "data": "shop",
        "braze": {"attribute": "others"},
        "personalize": {"recipe": "aws-user-personalization"},
    }
    path.write_text(json.dumps(other))
    assert streamed_row_assets(settings.program("other")) == [streamed_asset(owner)]
    path.write_text(json.dumps({**other, "personalize": {"recipe": "aws-sims"}}))
    assert streamed_row_assets(settings.program("other")) == [], "related items change with a training only"
    path.write_text(json.dumps({**other, "personalize": {"update_by": "events"}}))
    with pytest.raises(ProgramError, match=r"personalize\.update_by: is decided in shop\.yaml"):
        settings.program("other")


def test_one_event_is_enough_to_start_recommend(stage_shop: StageShop) -> None:
    program = stage_shop.write(personalize=EVENTS, schedules={"recommend": None}).program
    due = schedule(program, "recommend", asset(program, "champion"), *streamed_row_assets(program))
    assert isinstance(due, AssetAny)
    assert len(due.objects) == 2
