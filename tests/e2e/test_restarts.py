"""Kill and restart what a waiting run depends on: nothing is lost, and nothing is paid for twice.

Each round kills the triggerer, the scheduler and Amazon Personalize's local server, each while the run waits for
another kind of job. RECSYNC_ALL_KILLS=1 runs all three rounds, so that each is killed in each waiting stage.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psutil
import pytest
from shop import CUSTOMERS, FULL_UNTIL, PRODUCTS, Shop
from stacks import STACK_TIMEOUT_SECONDS, Stack, open_shop

from stack import processes
from stack.airflow_api import wait_for

NAME = "night-shop"
PARTS = ("triggerer", "scheduler", "personalize")
ROUNDS = range(len(PARTS) if os.environ.get("RECSYNC_ALL_KILLS") else 1)
# Each state of a job lasts so long, to be met by the kill.
TIME_SCALE_SECONDS = "6"
WAIT_SECONDS = 400
pytestmark = [pytest.mark.stack, pytest.mark.timeout(STACK_TIMEOUT_SECONDS)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with open_shop(tmp_path_factory.mktemp("restarts"), NAME) as running:
        running.environ["STACK_TIME_SCALE"] = TIME_SCALE_SECONDS
        kill_and_restart(running, "personalize")
        yield running


def kill_and_restart(stack: Stack, part: str) -> None:
    """Kill a part with no chance to clean up, and start it again."""
    record = processes.find(stack.plan.settings.run, part)
    assert record is not None
    psutil.Process(record.pid).send_signal(signal.SIGKILL)
    assert f"{part}: healthy after" in stack.command("up")


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
    return wait_for(
        lambda: next((r for r in stack.api.dag_runs(dag_id) if r["dag_run_id"] not in seen), None),
        f"a run of {dag_id}",
        timeout_seconds=WAIT_SECONDS,
    )


def run_ids(stack: Stack, dag_id: str) -> set[str]:
    return {run["dag_run_id"] for run in stack.api.dag_runs(dag_id)}


@pytest.mark.parametrize("first", ROUNDS)
def test_a_run_survives_kills_while_it_waits_and_makes_each_job_once(stack: Stack, first: int) -> None:
    import_part, training_part, inference_part = (*PARTS[first:], *PARTS[:first])
    shop = Shop(stack.services, stack.include, NAME)
    # One more purchase per customer: new interactions to import, and lists that change.
    at = FULL_UNTIL - timedelta(minutes=30 + first)
    shop.add_orders([(f"c {c}", f"p-{(c + first) % PRODUCTS}", at) for c in range(CUSTOMERS)])
    before = jobs(stack)
    seen = {stage: run_ids(stack, f"{NAME}_{stage}") for stage in ("recommend", "push")}

    train, recommend, push = (f"{NAME}_{stage}" for stage in ("train_full", "recommend", "push"))
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
