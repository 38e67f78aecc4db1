"""The chain under a real scheduler and triggerer: hand-over by assets, reruns, backfills, and a killed worker."""

from __future__ import annotations

import csv
import io
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import psutil
import psycopg
import pytest
from shop import FULL_UNTIL, PROGRAM, Shop
from stacks import STACK_TIMEOUT_SECONDS, Stack, open_shop

from stack.airflow_api import wait_for

NAME = "corner-shop"
SECONDS_TO_DECIDE = 8
HOURS = 4  # of the backfill; more take longer and show nothing else
pytestmark = [pytest.mark.stack, pytest.mark.timeout(STACK_TIMEOUT_SECONDS)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with open_shop(tmp_path_factory.mktemp("scheduler"), NAME) as running:
        yield running


def lists(stack: Stack) -> dict[str, list[str]]:
    profiles = stack.services.profiles()
    return {who: [entry["id"] for entry in a["recs"]] for who, a in profiles.items() if a.get("recs")}


def exports(stack: Stack) -> dict[str, Any]:
    listed = stack.s3.list_objects_v2(
        Bucket=stack.plan.settings.bucket, Prefix=f"{NAME}/exports/interactions/"
    )
    return {entry["Key"]: entry for entry in listed.get("Contents", [])}


def runs(stack: Stack, stage: str) -> list[dict[str, Any]]:
    return stack.api.dag_runs(f"{NAME}_{stage}")


def paid_for(stack: Stack) -> list[int]:
    """Count what costs money; a train_update that only skips, as at the turn of an hour, does not."""
    personalize = stack.services.boto3("personalize")
    solutions = personalize.list_solutions()["solutions"]
    versions = [
        version
        for solution in solutions
        for version in personalize.list_solution_versions(solutionArn=solution["solutionArn"])[
            "solutionVersions"
        ]
    ]
    imports = personalize.list_dataset_import_jobs()["datasetImportJobs"]
    return [len(versions), len(imports), *(len(runs(stack, stage)) for stage in ("recommend", "push"))]


def test_everybody_of_the_audience_and_nobody_else_has_a_list(stack: Stack) -> None:
    found = lists(stack)
    customers = {
        f"braze-{row[0]}" for row in stack.services.query("SELECT DISTINCT customer FROM shop.orders")
    }
    assert set(found) == customers
    assert all(len(items) == len(set(items)) == 5 for items in found.values())
    assert [len(runs(stack, stage)) for stage in ("train_full", "recommend", "push")] == [1, 1, 1]
    assert runs(stack, "recommend")[0]["run_type"] == "asset_triggered"
    assert runs(stack, "push")[0]["partition_key"]


def test_a_second_run_with_nothing_new_sends_nothing(stack: Stack) -> None:
    before = stack.services.meter()["attribute_writes"]["total"]
    printed = stack.command("run", NAME)
    assert "unchanged" in printed
    assert stack.services.meter()["attribute_writes"]["total"] == before


def test_a_backfill_writes_an_object_an_hour_twice_the_same_and_pays_for_nothing(stack: Stack) -> None:
    first, last = FULL_UNTIL - timedelta(hours=30), FULL_UNTIL - timedelta(hours=31 - HOURS)
    paid = paid_for(stack)
    already = set(exports(stack))
    written = []
    for again in ([], ["--reprocess-behavior", "completed", "--run-backwards"]):
        span = ["--from-date", first.isoformat(), "--to-date", last.isoformat()]
        ended = {run["end_date"] for run in runs(stack, "export")}
        stack.backfill(NAME, *span, *again)
        wait_for(
            lambda ended=ended: (
                sum(
                    run["run_type"] == "backfill"
                    and run["state"] == "success"
                    and run["end_date"] not in ended
                    for run in runs(stack, "export")
                )
                == HOURS
            ),
            "the backfill runs",
            timeout_seconds=600,
        )
        written.append({key: entry["ETag"] for key, entry in exports(stack).items() if key not in already})
    assert written[0] == written[1]
    hours = [first + timedelta(hours=n) for n in range(HOURS)]
    assert set(written[0]) == {f"{NAME}/exports/interactions/{hour:%Y-%m-%dT%H%M}Z.csv" for hour in hours}
    for hour in hours:
        key = f"{NAME}/exports/interactions/{hour:%Y-%m-%dT%H%M}Z.csv"
        body = stack.s3.get_object(Bucket=stack.plan.settings.bucket, Key=key)["Body"].read().decode()
        rows = sorted(
            (r["USER_ID"], r["ITEM_ID"], int(r["TIMESTAMP"])) for r in csv.DictReader(io.StringIO(body))
        )
        assert rows == sorted(
            stack.services.query(
                "SELECT customer, product, extract(epoch FROM at)::bigint FROM shop.orders WHERE "
                f"at >= '{hour.isoformat()}' AND at < '{(hour + timedelta(hours=1)).isoformat()}'"
            )
        )
    assert paid_for(stack) == paid


def test_a_worker_killed_in_the_middle_pays_for_no_second_job_and_loses_nobody(stack: Stack) -> None:
    personalize = stack.services.boto3("personalize")
    jobs = len(personalize.list_batch_inference_jobs()["batchInferenceJobs"])
    for stage, task in (("recommend", "batch_inference"), ("push", "deliver")):
        with psycopg.connect(stack.services.dsn) as connection:
            # Other lists, so that there is something to send.
            connection.execute("UPDATE shop.products SET price = price + 1")
        seen = {run["dag_run_id"] for run in runs(stack, stage)}
        stack.api.trigger(f"{NAME}_recommend")
        run = wait_for(
            lambda stage=stage, seen=seen: next(
                (r for r in runs(stack, stage) if r["dag_run_id"] not in seen), None
            ),
            f"a run of {stage}",
            timeout_seconds=120,
        )
        _kill_the_worker_of(stack, stage, run["dag_run_id"], task)
        done = stack.api.wait_for_run(f"{NAME}_{stage}", run["dag_run_id"], timeout_seconds=400)
        assert done["state"] == "success"
        jobs += 1
        assert len(personalize.list_batch_inference_jobs()["batchInferenceJobs"]) == jobs
    test_everybody_has_what_the_last_delivery_says(stack)


def test_everybody_has_what_the_last_delivery_says(stack: Stack) -> None:
    latest = max(runs(stack, "push"), key=lambda run: run["run_after"])
    report, verification = (
        stack.api.xcom(f"{NAME}_push", latest["dag_run_id"], task) for task in ("deliver", "verify")
    )
    assert sum(report["outcomes"].values()) == len(lists(stack))
    assert verification["drifted"] == 0


def test_a_large_delivery_waits_for_a_person_and_then_leaves_no_old_attribute(stack: Stack) -> None:
    program = PROGRAM.replace("attribute: recs", "attribute: recs_new\n  delivery: {approve_above_users: 10}")
    Shop(stack.services, stack.include, NAME).write_files(program)
    dag_id, before = f"{NAME}_push", lists(stack)
    wait_for(
        lambda: "approve" in {task["task_id"] for task in stack.api.tasks(dag_id)},
        "Airflow to read the program file",
        timeout_seconds=120,
    )
    run_id = stack.api.trigger(dag_id)["dag_run_id"]
    question = wait_for(
        lambda: stack.api.question(dag_id, run_id, "approve"), "the question", timeout_seconds=180
    )
    assert f"| get another list | {len(before)} |" in question["body"]
    assert lists(stack) == before, "nothing is sent before somebody agrees"

    waiting: dict[int, float] = {}

    def agree(_: dict[str, Any]) -> None:
        """Agree as a person would, after some seconds.

        Airflow takes a task that is answered before its scheduler saw it wait for killed, and asks anew in a next try.
        """
        tasks = stack.api.task_instances(dag_id, run_id)
        approve = next(task for task in tasks if task["task_id"] == "approve")
        if approve["state"] != "awaiting_input":
            return
        since = waiting.setdefault(approve["try_number"], time.monotonic())
        asked = stack.api.question(dag_id, run_id, "approve")
        if time.monotonic() - since > SECONDS_TO_DECIDE and asked and not asked["response_received"]:
            stack.api.answer(dag_id, run_id, "approve", "Approve")

    done = stack.api.wait_for_run(dag_id, run_id, timeout_seconds=300, on_poll=agree)
    assert done["state"] == "success"
    profiles = stack.services.profiles()
    assert {who for who, a in profiles.items() if "recs_new" in a} == set(before)
    assert not [who for who, a in profiles.items() if "recs" in a]


def test_no_log_file_holds_a_key_or_a_person(stack: Stack) -> None:
    secrets = [stack.services.braze_key, *list(stack.services.profiles())[:5]]
    logs = [path for path in stack.plan.settings.airflow_home.rglob("*.log") if path.is_file()]
    assert len(logs) > 20
    texts = {path: path.read_text(errors="replace") for path in logs}
    assert not [(path.name, secret) for path, text in texts.items() for secret in secrets if secret in text]


def _kill_the_worker_of(stack: Stack, stage: str, run_id: str, task: str) -> None:
    """Kill, with no chance to clean up, the process that runs a task."""

    def victim() -> psutil.Process | None:
        for instance in stack.api.task_instances(f"{NAME}_{stage}", run_id):
            if instance["task_id"] == task and instance["state"] == "running" and instance["pid"]:
                return psutil.Process(instance["pid"])
            assert instance["task_id"] != task or instance["state"] != "success", (
                "the task was faster than the test"
            )
        return None

    process = wait_for(victim, f"{task} to run", timeout_seconds=180, poll_seconds=0.02)
    time.sleep(0.2)
    with suppress(psutil.NoSuchProcess):  # a child may end by itself at this very moment
        for child in process.children(recursive=True):
            child.send_signal(signal.SIGKILL)
        process.send_signal(signal.SIGKILL)
