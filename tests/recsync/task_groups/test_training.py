"""The steps of a training as tasks of a DAG, and the answer of the person who approves."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk import DAG, task
from stage_shop import NDCG, SOLUTION_ARN, StageShop

from recsync.dag_kit import DEFAULT_ARGS
from recsync.evaluation.store import Champion, ChampionStore, PromotionOutcome
from recsync.task_groups.lock import AssertLock
from recsync.task_groups.setup import setup
from recsync.task_groups.training import ApprovePromotionOperator, train, tune

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
