"""When a billed run is worth it, and who waits for whom, under a real scheduler."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psutil
import pytest
from shop import CUSTOMERS, FULL_UNTIL, Shop
from stacks import STACK_TIMEOUT_SECONDS, Stack, open_shop

from stack import processes
from stack.airflow_api import FINISHED, wait_for
from stack.chain import Chain

NAME = "patient-shop"
UPDATE, FULL, EXPORT = (f"{NAME}_{stage}" for stage in ("train_update", "train_full", "export"))
# Each state of a job lasts so long, to be met by what comes in between.
TIME_SCALE_SECONDS = "6"
WAIT_SECONDS = 400
pytestmark = [pytest.mark.stack, pytest.mark.timeout(STACK_TIMEOUT_SECONDS)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    until = ("--until", FULL_UNTIL.isoformat())
    with open_shop(tmp_path_factory.mktemp("training"), NAME, *until) as running:
        running.environ["STACK_TIME_SCALE"] = TIME_SCALE_SECONDS
        kill(running, "personalize")
        running.command("up")
        for dag_id in (EXPORT, UPDATE, FULL):
            running.api.unpause(dag_id)
        yield running


@pytest.fixture
def shop(stack: Stack) -> Shop:
    return Shop(stack.services, stack.include, NAME)


def kill(stack: Stack, part: str) -> None:
    """Kill a part of the stack with no chance to clean up."""
    record = processes.find(stack.plan.settings.run, part)
    assert record is not None
    psutil.Process(record.pid).send_signal(signal.SIGKILL)


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


def new_items(shop: Shop, hour: int) -> None:
    """Let three new products come and be bought in one hour after the first FULL training."""
    start = FULL_UNTIL + timedelta(hours=hour)
    names = [f"new-{hour}-{number}" for number in range(3)]
    shop.add_products([(name, 2.0, start + timedelta(minutes=5)) for name in names])
    at = start + timedelta(minutes=20)
    shop.add_orders([(f"c {c}", names[c % 3], at) for c in range(CUSTOMERS // 2)])


def update_after(stack: Stack, hour: int) -> str:
    """Export one hour, and name the update that its announcement starts."""
    seen = {run["dag_run_id"] for run in stack.api.dag_runs(UPDATE)}
    # The data interval of a manual run is the one before its logical date.
    end = FULL_UNTIL + timedelta(hours=hour + 1)
    exported = stack.api.trigger(EXPORT, logical_date=end)["dag_run_id"]
    assert stack.api.wait_for_run(EXPORT, exported, timeout_seconds=WAIT_SECONDS)["state"] == "success"
    run = wait_for(
        lambda: next((r for r in stack.api.dag_runs(UPDATE) if r["dag_run_id"] not in seen), None),
        "an update",
        timeout_seconds=WAIT_SECONDS,
    )
    return str(run["dag_run_id"])


def finished(stack: Stack, dag_id: str, run_id: str) -> str:
    return str(stack.api.wait_for_run(dag_id, run_id, timeout_seconds=WAIT_SECONDS)["state"])


def wait_until_training(stack: Stack, dag_id: str, run_id: str) -> None:
    """Wait until a run's training is under way in Amazon Personalize."""

    def deferred() -> bool:
        tasks = stack.api.task_instances(dag_id, run_id)
        states = [task["state"] for task in tasks if task["task_id"] == "solution_version"]
        assert "success" not in states, "the training ended before the test could come in between"
        return "deferred" in states

    wait_for(deferred, "the training", timeout_seconds=WAIT_SECONDS, poll_seconds=0.5)


def fail(stack: Stack, dag_id: str, run_id: str) -> None:
    """Fail a run by hand, as a person does in the UI."""
    stack.api.set_run_state(dag_id, run_id, "failed")


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
    wait_until_training(stack, UPDATE, update)
    full = stack.api.trigger(FULL)["dag_run_id"]
    assert finished(stack, UPDATE, update) == "success"
    updated = stack.api.dag_run(UPDATE, update)
    assert finished(stack, FULL, full) == "success"
    made = versions(stack)[before:]
    assert [version["trainingMode"] for version in made] == ["UPDATE", "FULL"]
    assert made[1]["creationDateTime"] >= datetime.fromisoformat(updated["end_date"])


def test_a_killed_full_training_leaves_no_lock(stack: Stack, shop: Shop) -> None:
    full = stack.api.trigger(FULL, {"until": (FULL_UNTIL + timedelta(hours=2)).isoformat()})["dag_run_id"]
    wait_until_training(stack, FULL, full)
    kill(stack, "triggerer")
    kill(stack, "scheduler")
    stack.command("up")
    fail(stack, FULL, full)
    new_items(shop, 2)
    before = len(versions(stack))
    assert finished(stack, UPDATE, update_after(stack, 2)) == "success"
    assert [version["trainingMode"] for version in versions(stack)[before:]] == ["UPDATE"]


def test_a_killed_update_leaves_no_lock(stack: Stack, shop: Shop) -> None:
    # A late row of an hour that was exported before.
    shop.add_products([("late-item", 2.0, FULL_UNTIL + timedelta(hours=2, minutes=50))])
    at = FULL_UNTIL + timedelta(hours=2, minutes=55)
    shop.add_orders([(f"c {c}", "late-item", at) for c in range(CUSTOMERS // 2)])
    update = update_after(stack, 2)
    wait_until_training(stack, UPDATE, update)
    kill(stack, "triggerer")
    stack.command("up")
    fail(stack, UPDATE, update)
    full = stack.api.trigger(FULL)["dag_run_id"]
    assert finished(stack, FULL, full) == "success"
    assert all(run["state"] in FINISHED for run in stack.api.dag_runs(UPDATE))
