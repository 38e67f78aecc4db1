"""``update_by: events`` under a real scheduler: an export of the schedule reaches Braze without a training."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from shop import PRODUCTS, PROGRAM, Shop
from stacks import (
    STACK_TIMEOUT_SECONDS,
    Stack,
    open_shop,
    pause_when_idle,
    wait_for,
    wait_until_scheduled,
    wait_until_settled,
)

NAME = "event-shop"
STAGES = ("export", "train_update", "recommend", "push")
EVENTS = "recipe: aws-user-personalization-v2, update_by: events, streaming: {wait_minutes: 0.2}"
BY_EVENTS = PROGRAM.replace("personalize: {", f"personalize: {{{EVENTS}, ")
EACH_MINUTE = (
    BY_EVENTS + "\nschedules: {export: '* * * * *'}\nexports: {overlap_intervals: 0, missing_intervals: 0}\n"
)
WAIT_SECONDS = 600
pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(STACK_TIMEOUT_SECONDS),
    pytest.mark.long(reason="a stack of its own, some three minutes"),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with open_shop(tmp_path_factory.mktemp("events"), NAME, program=BY_EVENTS) as running:
        yield running


def runs(stack: Stack, stage: str, seen: set[str]) -> list[dict[str, Any]]:
    return [run for run in stack.api.dag_runs(f"{NAME}_{stage}") if run["dag_run_id"] not in seen]


def paid_for(stack: Stack) -> list[int]:
    """Count import jobs and solution versions."""
    client = stack.services.boto3("personalize")
    solutions = client.list_solutions()["solutions"]
    versions = (client.list_solution_versions(solutionArn=each["solutionArn"]) for each in solutions)
    imports = client.list_dataset_import_jobs()["datasetImportJobs"]
    return [len(imports), sum(len(found["solutionVersions"]) for found in versions)]


def list_of(stack: Stack, customer: str) -> list[str]:
    return [entry["id"] for entry in stack.services.profiles()[f"braze-{customer}"]["recs"]]


def test_a_purchase_reaches_braze_by_the_schedule_alone(stack: Stack) -> None:
    wait_until_settled(stack, *(f"{NAME}_{stage}" for stage in STAGES))
    seen = {stage: {run["dag_run_id"] for run in runs(stack, stage, set())} for stage in STAGES}
    before, former = paid_for(stack), list_of(stack, "c 1")
    bought = next(f"p-{n}" for n in range(PRODUCTS) if f"p-{n}" not in former)
    stack.change_program(NAME, EACH_MINUTE)
    wait_until_scheduled(stack, f"{NAME}_export", "* * * * *")
    for stage in STAGES:
        stack.api.unpause(f"{NAME}_{stage}")
    now = datetime.now(UTC)
    Shop(stack.services, stack.include, NAME).add_orders([("c 1", bought, now) for _ in range(3)])
    wait_for(
        lambda: [
            run
            for run in runs(stack, "export", seen["export"])
            if run["state"] == "success" and datetime.fromisoformat(run["run_after"]) > now
        ],
        "an export of the new rows",
        timeout_seconds=WAIT_SECONDS,
    )
    pause_when_idle(stack, f"{NAME}_export")
    wait_for(lambda: bought in list_of(stack, "c 1"), "the purchase in Braze", timeout_seconds=WAIT_SECONDS)
    wait_until_settled(stack, *(f"{NAME}_{stage}" for stage in STAGES))
    assert paid_for(stack) == before
    for stage in ("train_update", "recommend", "push"):
        started = [run for run in runs(stack, stage, seen[stage]) if run["run_type"] == "asset_triggered"]
        assert started, f"{stage} followed by itself"
        assert {run["state"] for run in started} == {"success"}
    notes = [run["note"] for run in runs(stack, "train_update", seen["train_update"])]
    assert "streamed 3 interactions" in notes or "streamed 1 interactions" in notes
