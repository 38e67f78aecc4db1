"""Long waits under a real scheduler: what excludes what, what a kill leaves behind, and what is paid for.

Each round of the last test kills the triggerer, the scheduler and Amazon Personalize's local server, each while the run
waits for another kind of job. RECSYNC_LONG_TESTS=1 runs this file, some ten minutes with a scheduler of its own. A kill
under a scheduler is tested shortly in test_scheduler.py, the lock in tests/recsync/training, approvals in
test_evaluation.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from shop import CUSTOMERS, FULL_UNTIL, PRODUCTS, PROGRAM, Shop
from stacks import (
    STACK_TIMEOUT_SECONDS,
    Stack,
    kill_and_restart,
    open_shop,
    wait_until_settled,
)

from stack.airflow_api import wait_for
from stack.chain import Chain

NAME = "night-shop"
STAGES = ("export", "train_full", "train_update", "recommend", "push")
DAG_IDS = EXPORT, FULL, UPDATE, RECOMMEND, PUSH = [f"{NAME}_{stage}" for stage in STAGES]
APPROVED = PROGRAM.replace("gate: {", "gate: {approval: full, ")
PARTS = ("triggerer", "scheduler", "personalize")
ROUNDS = range(len(PARTS))
# Each state of a job lasts so long, to be met by the kill.
TIME_SCALE_SECONDS = "4"
WAIT_SECONDS = 400
pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(STACK_TIMEOUT_SECONDS),
    pytest.mark.skipif(
        "RECSYNC_LONG_TESTS" not in os.environ, reason="takes long: RECSYNC_LONG_TESTS=1 runs it"
    ),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    until = ("--until", FULL_UNTIL.isoformat())
    with open_shop(tmp_path_factory.mktemp("restarts"), NAME, *until) as running:
        running.environ["STACK_TIME_SCALE"] = TIME_SCALE_SECONDS
        kill_and_restart(running, "personalize")
        # Each new champion would be recommended and pushed beside the tests, which ask for trainings only.
        running.api.set_paused(RECOMMEND, paused=True)
        for dag_id in (EXPORT, UPDATE):
            running.api.unpause(dag_id)
        # The schedule exports the last interval at once; what its announcement starts must not mix with the tests.
        wait_for(lambda: run_ids(running, UPDATE), "the schedule's first run", timeout_seconds=WAIT_SECONDS)
        wait_until_settled(running, *DAG_IDS)
        yield running


@pytest.fixture
def shop(stack: Stack) -> Shop:
    return Shop(stack.services, stack.include, NAME)


def jobs(stack: Stack) -> dict[str, list[str]]:
    """Name everything that costs money."""
    personalize = stack.services.boto3("personalize")
    solutions = [solution["solutionArn"] for solution in personalize.list_solutions()["solutions"]]
    return {
        "import": [job["jobName"] for job in personalize.list_dataset_import_jobs()["datasetImportJobs"]],
        "solution_version": [
            version["solutionVersionArn"]
            for solution in solutions
            for version in personalize.list_solution_versions(solutionArn=solution)["solutionVersions"]
        ],
        "batch_inference": [
            job["jobName"] for job in personalize.list_batch_inference_jobs()["batchInferenceJobs"]
        ],
    }


def wait_until_deferred(stack: Stack, dag_id: str, run_id: str, task: str) -> None:
    """Wait until a task of the run waits in the triggerer."""

    def deferred() -> bool:
        states = [t["state"] for t in stack.api.task_instances(dag_id, run_id) if t["task_id"] == task]
        assert "success" not in states, f"{task} ended before the test could kill anything"
        return "deferred" in states

    wait_for(deferred, f"{task} to wait", timeout_seconds=WAIT_SECONDS, poll_seconds=0.5)


def next_run(stack: Stack, dag_id: str, seen: set[str]) -> dict[str, Any]:
    """Wait for the run that an asset starts."""

    def started() -> dict[str, Any] | None:
        found = stack.api.dag_runs(dag_id, run_type="asset_triggered")
        return next((run for run in found if run["dag_run_id"] not in seen), None)

    return wait_for(
        started,
        f"a run of {dag_id}",
        timeout_seconds=WAIT_SECONDS,
    )


def run_ids(stack: Stack, dag_id: str) -> set[str]:
    return {run["dag_run_id"] for run in stack.api.dag_runs(dag_id)}


def versions(stack: Stack) -> list[dict[str, Any]]:
    """List all solution versions, oldest first."""
    personalize = stack.services.boto3("personalize")
    found = [
        personalize.describe_solution_version(solutionVersionArn=version["solutionVersionArn"])[
            "solutionVersion"
        ]
        for solution in personalize.list_solutions()["solutions"]
        for version in personalize.list_solution_versions(solutionArn=solution["solutionArn"])[
            "solutionVersions"
        ]
    ]
    return sorted(found, key=lambda version: version["creationDateTime"])


def deletions(stack: Stack) -> list[dict[str, Any]]:
    """List the data deletion jobs of the account."""
    return list(stack.services.boto3("personalize").list_data_deletion_jobs()["dataDeletionJobs"])


def new_items(shop: Shop, hour: int) -> None:
    """Let three new products come and be bought in one hour after the first FULL training."""
    start = FULL_UNTIL + timedelta(hours=hour)
    names = [f"new-{hour}-{number}" for number in range(3)]
    shop.add_products([(name, 2.0, start + timedelta(minutes=5)) for name in names])
    at = start + timedelta(minutes=20)
    shop.add_orders([(f"c {c}", names[c % 3], at) for c in range(CUSTOMERS // 2)])


def update_after(stack: Stack, hour: int) -> str:
    """Export one hour, and name the update that its announcement starts."""
    # The data interval of a manual run is the last one before its logical date, which no other run may have.
    moment = FULL_UNTIL + timedelta(hours=hour + 1, minutes=1, seconds=len(run_ids(stack, EXPORT)))
    exported = stack.api.trigger(EXPORT, logical_date=moment)["dag_run_id"]
    assert finished(stack, EXPORT, exported) == "success"
    events = stack.api.asset_events(source_dag_id=EXPORT, source_run_id=exported)
    announced = next(datetime.fromisoformat(e["timestamp"]) for e in events if e["name"] == f"{NAME}_exports")

    def taken() -> str | None:
        # Not one that an export of the schedule has started meanwhile.
        runs = stack.api.dag_runs(UPDATE, run_type="asset_triggered")
        later = (run for run in runs if datetime.fromisoformat(run["queued_at"]) >= announced)
        return next((str(run["dag_run_id"]) for run in later), None)

    return wait_for(taken, "an update", timeout_seconds=WAIT_SECONDS)


def enough_orders(at: datetime) -> list[tuple[str, str, datetime]]:
    """Make more orders than an import of interactions needs, one a second."""
    return [(f"c {n % CUSTOMERS}", f"p-{n % PRODUCTS}", at + timedelta(seconds=n)) for n in range(1_100)]


def finished(stack: Stack, dag_id: str, run_id: str) -> str:
    return str(stack.api.wait_for_run(dag_id, run_id, timeout_seconds=WAIT_SECONDS)["state"])


def test_an_hour_with_nothing_new_makes_no_version_and_says_why(stack: Stack) -> None:
    before = len(versions(stack))
    run_id = update_after(stack, 0)
    assert finished(stack, UPDATE, run_id) == "success"
    assert len(versions(stack)) == before
    chain = Chain(stack.api, NAME, {}, print)
    assert "nothing" in chain.skip_reason("train_update", stack.api.dag_run(UPDATE, run_id)).lower()


def test_new_items_make_one_version_and_a_full_training_started_meanwhile_waits(
    stack: Stack, shop: Shop
) -> None:
    before = len(versions(stack))
    new_items(shop, 1)
    update = update_after(stack, 1)
    wait_until_deferred(stack, UPDATE, update, "solution_version")
    full = stack.api.trigger(FULL)["dag_run_id"]
    assert finished(stack, UPDATE, update) == "success"
    updated = stack.api.dag_run(UPDATE, update)
    assert finished(stack, FULL, full) == "success"
    made = versions(stack)[before:]
    assert [version["trainingMode"] for version in made] == ["UPDATE", "FULL"]
    assert made[1]["creationDateTime"] >= datetime.fromisoformat(updated["end_date"])


def test_a_killed_full_training_leaves_no_lock(stack: Stack, shop: Shop) -> None:
    full = stack.api.trigger(FULL, {"until": (FULL_UNTIL + timedelta(hours=2)).isoformat()})["dag_run_id"]
    wait_until_deferred(stack, FULL, full, "solution_version")
    kill_and_restart(stack, "triggerer", "scheduler")
    stack.api.set_run_state(FULL, full, "failed")
    new_items(shop, 2)
    before = len(versions(stack))
    assert finished(stack, UPDATE, update_after(stack, 2)) == "success"
    assert [version["trainingMode"] for version in versions(stack)[before:]] == ["UPDATE"]


def test_after_an_erasure_everything_trains_and_erases_again(stack: Stack, shop: Shop) -> None:
    forget, before = f"{NAME}_forget", len(versions(stack))
    stack.api.unpause(forget)

    def erase(user: str) -> None:
        run_id = stack.api.trigger(forget, {"user": user})["dag_run_id"]
        assert finished(stack, forget, run_id) == "success"

    erase("c 1")
    (job,) = deletions(stack)
    assert job["status"] == "COMPLETED"
    shop.add_orders(enough_orders(FULL_UNTIL + timedelta(hours=2, minutes=20)))
    assert finished(stack, UPDATE, update_after(stack, 2)) == "success"
    full = stack.api.trigger(FULL)["dag_run_id"]
    assert finished(stack, FULL, full) == "success"
    assert [version["trainingMode"] for version in versions(stack)[before:]] == ["UPDATE", "FULL"]
    erase("c 2")
    assert [job["status"] for job in deletions(stack)] == ["COMPLETED", "COMPLETED"]


def test_a_killed_update_leaves_no_lock_and_a_person_approves_the_next_version(
    stack: Stack, shop: Shop
) -> None:
    # Late rows of an hour that was exported before.
    shop.add_orders(enough_orders(FULL_UNTIL + timedelta(hours=2, minutes=40)))
    update = update_after(stack, 2)
    wait_until_deferred(stack, UPDATE, update, "solution_version")
    kill_and_restart(stack, "triggerer")
    stack.api.set_run_state(UPDATE, update, "failed")

    stack.change_program(NAME, APPROVED)
    asks = lambda: "approve" in {task["task_id"] for task in stack.api.tasks(FULL)}  # ruff: ignore[lambda-assignment]
    wait_for(asks, "Airflow to read the program file", timeout_seconds=WAIT_SECONDS)
    full = stack.api.trigger(FULL)["dag_run_id"]
    question = wait_for(
        lambda: stack.api.question(FULL, full, "approve"), "the question", timeout_seconds=WAIT_SECONDS
    )
    assert "normalized_discounted_cumulative_gain_at_25" in question["body"]
    waiting = {task["task_id"]: task["state"] for task in stack.api.task_instances(FULL, full)}
    assert waiting["approve"] == "awaiting_input", "no worker slot is taken"
    # Nobody waits for a run that waits for a person; what it trained is renewed only once it is approved.
    meanwhile = stack.api.trigger(UPDATE)["dag_run_id"]
    assert finished(stack, UPDATE, meanwhile) == "success"
    chain = Chain(stack.api, NAME, {}, print)
    assert "no person has approved" in chain.skip_reason("train_update", stack.api.dag_run(UPDATE, meanwhile))
    stack.api.answer(FULL, full, "approve", "Approve")
    assert finished(stack, FULL, full) == "success"
    assert stack.api.xcom(FULL, full, "promote")["by"] == "admin"


@pytest.mark.parametrize("first", ROUNDS)
def test_a_run_survives_kills_while_it_waits_and_makes_each_job_once(
    stack: Stack, shop: Shop, first: int
) -> None:
    import_part, training_part, inference_part = (*PARTS[first:], *PARTS[:first])
    for dag_id in (EXPORT, UPDATE):
        stack.api.set_paused(dag_id, paused=True)
    stack.api.unpause(RECOMMEND)
    stack.change_program(NAME)
    wait_until_settled(stack, *DAG_IDS)
    # One more purchase per customer: new interactions to import, and lists that change.
    at = FULL_UNTIL - timedelta(minutes=30 + first)
    shop.add_orders([(f"c {c}", f"p-{(c + first) % PRODUCTS}", at) for c in range(CUSTOMERS)])
    before = jobs(stack)
    seen = {stage: run_ids(stack, f"{NAME}_{stage}") for stage in ("recommend", "push")}

    train, recommend, push = FULL, RECOMMEND, PUSH
    training = stack.api.trigger(train)["dag_run_id"]
    wait_until_deferred(stack, train, training, "import")
    kill_and_restart(stack, import_part)
    wait_until_deferred(stack, train, training, "solution_version")
    kill_and_restart(stack, training_part)
    assert stack.api.wait_for_run(train, training, timeout_seconds=WAIT_SECONDS)["state"] == "success"

    inference = next_run(stack, recommend, seen["recommend"])["dag_run_id"]
    wait_until_deferred(stack, recommend, inference, "batch_inference")
    kill_and_restart(stack, inference_part)
    assert stack.api.wait_for_run(recommend, inference, timeout_seconds=WAIT_SECONDS)["state"] == "success"
    delivery = next_run(stack, push, seen["push"])["dag_run_id"]
    assert stack.api.wait_for_run(push, delivery, timeout_seconds=WAIT_SECONDS)["state"] == "success"

    made = {kind: len(names) - len(before[kind]) for kind, names in jobs(stack).items()}
    assert made == {"import": 1, "solution_version": 1, "batch_inference": 1}
    outcomes = stack.api.xcom(push, delivery, "deliver")["outcomes"]
    assert sum(outcomes.values()) == CUSTOMERS
    with_list = [who for who, attributes in stack.services.profiles().items() if attributes.get("recs")]
    assert len(with_list) == CUSTOMERS
