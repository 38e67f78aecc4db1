"""The chain under a real scheduler and triggerer: hand-over by assets, reruns, backfills, and a killed worker."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import psycopg
import pytest
from shop import CUSTOMERS, FULL_UNTIL, PROGRAM, Shop, write_files
from stacks import (
    STACK_TIMEOUT_SECONDS,
    Stack,
    open_shop,
    pause_when_idle,
    wait_for,
    wait_until_scheduled,
    wait_until_settled,
)

from stack.airflow_api import FINISHED
from stack.browser import CHROMIUM, Browser, log_in, open_browser
from stack.secret_files import ADMIN

NAME = "corner-shop"
SECONDS_TO_DECIDE = 8
WAIT_SECONDS = 600
FOLLOWING = ("train_update", "train_full", "recommend", "push")
HOURS = 2  # of the backfill; more take longer and show nothing else
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
    """List the runs of a stage, without those of push that only look whether something was missed."""
    found = stack.api.dag_runs(f"{NAME}_{stage}")
    return [run for run in found if (stage, run["run_type"]) != ("push", "scheduled")]


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
    assert runs(stack, "push")[0]["run_type"] == "asset_triggered"


def test_every_run_says_in_its_note_what_it_did(stack: Stack) -> None:
    notes = {stage: runs(stack, stage)[0]["note"] for stage in ("train_full", "recommend", "push")}
    assert re.fullmatch(r"\d+ sent, 0 rejected", notes["push"])
    assert re.match(r"\d+ of \d+ people have a list", notes["recommend"])
    assert notes["train_full"].endswith(" is champion")


def test_a_second_run_with_nothing_new_sends_nothing(stack: Stack) -> None:
    before = stack.services.meter()["attribute_writes"]["total"]
    printed = stack.command("run", NAME)
    assert "unchanged" in printed
    assert stack.services.meter()["attribute_writes"]["total"] == before


@pytest.mark.long(reason="a browser fills the forms of all DAGs")
@pytest.mark.skipif(not CHROMIUM, reason="no browser here: apt-get install chromium")
def test_every_trigger_form_can_be_sent_and_a_dry_run_ends_by_clicks_alone(
    stack: Stack, tmp_path: Path
) -> None:
    before, seen = stack.services.meter()["attribute_writes"]["total"], ids(stack, "push")
    dags = sorted(dag["dag_id"] for dag in stack.api.dags(tag=NAME))
    assert {f"{NAME}_push", f"{NAME}_rollback", f"{NAME}_forget"} < set(dags)

    with open_browser(tmp_path / "profile") as browser:
        log_in(browser, stack.plan.url("airflow"), ADMIN, stack.plan.secrets.airflow_admin_password)
        for dag_id in dags:
            open_form(browser, stack, dag_id)
            shoot(browser, tmp_path, dag_id)
            assert browser.enabled("button", "Trigger"), dag_id

        open_form(browser, stack, f"{NAME}_push")
        browser.click("[id='switch:element_dry_run']")
        browser.click("button", "Trigger")
        browser.until(
            lambda: re.search(r"manual__\S+\s+Success", browser.text()), "run that ended well", seconds=300
        )
        shoot(browser, tmp_path, "ended")

    started = [run for run in new_runs(stack, "push", seen) if run["run_type"] == "manual"]
    assert [(run["conf"]["dry_run"], run["state"]) for run in started] == [(True, "success")]
    assert stack.services.meter()["attribute_writes"]["total"] == before


def open_form(browser: Browser, stack: Stack, dag_id: str) -> None:
    browser.open(f"{stack.plan.url('airflow')}/dags/{dag_id}")
    browser.until(lambda: dag_id in browser.text(), f"page of {dag_id}")
    browser.click("button", "Trigger Dag")
    browser.until(lambda: "Advanced Options" in browser.text(), f"form of {dag_id}")
    for name in stack.api.dag_details(dag_id)["params"]:
        browser.until(lambda name=name: name in browser.text().split(), f"field {name} of {dag_id}")


def shoot(browser: Browser, folder: Path, name: str) -> None:
    """Keep what is seen, in light and in dark, for people to look at."""
    for dark in (False, True):
        browser.dark(dark)
        browser.screenshot(folder / f"{name}-{'dark' if dark else 'light'}.png")


class TestUnattended:
    """Nothing is started by hand but the rollback, which is for people only."""

    PROGRAM = (
        PROGRAM
        + """
schedules: {export: '* * * * *', push: '* * * * *'}
exports: {overlap_intervals: 0, missing_intervals: 0}
train_full: {drift: {growth: null, metric_drop: null, min_interactions: 1, min_days_between: 0.5}}
"""
    )

    @pytest.fixture(scope="class")
    def shop(self, stack: Stack) -> Iterator[Shop]:
        stack.change_program(NAME, self.PROGRAM)
        wait_until_scheduled(stack, f"{NAME}_export", "* * * * *")
        wait_until_scheduled(stack, f"{NAME}_train_full", "Asset or ")
        wait_until_scheduled(stack, f"{NAME}_push", "* * * * *")
        yield Shop(stack.services, stack.include, NAME)
        stack.change_program(NAME)
        wait_until_scheduled(stack, f"{NAME}_export", "0 * * * *")
        stack.api.unpause(f"{NAME}_export")
        wait_until_settled(stack, *(f"{NAME}_{stage}" for stage in ("export", *FOLLOWING)))

    def test_an_export_of_the_schedule_reaches_braze_and_drift_trains_full(
        self, stack: Stack, shop: Shop
    ) -> None:
        seen = {stage: ids(stack, stage) for stage in ("train_update", "train_full", "recommend", "push")}
        make_full_look_old(stack)
        now = datetime.now(UTC)
        names = [f"new-{number}" for number in range(3)]
        shop.add_products([(name, 2.0, now) for name in names])
        shop.add_orders([(f"c {c}", names[c % 3], now) for c in range(CUSTOMERS // 2)])
        wait_for(
            lambda: [run for run in runs(stack, "export") if datetime.fromisoformat(run["run_after"]) > now],
            "an export of the new rows",
            timeout_seconds=WAIT_SECONDS,
        )
        pause_when_idle(stack, f"{NAME}_export")

        update = promoted_by(stack, "train_update", seen["train_update"])
        full = promoted_by(stack, "train_full", seen["train_full"])
        exported = stack.api.asset_events(source_dag_id=f"{NAME}_export")
        assert {event["partition_key"] for event in exported} == {None}
        for run in (update, full):
            assert run["run_type"] == "asset_triggered"
            champion = stack.api.xcom(run["dag_id"], run["dag_run_id"], "promote")["solution_version_arn"]
            recommended = wait_for(
                lambda champion=champion: next(
                    (
                        each
                        for each in new_runs(stack, "recommend", seen["recommend"])
                        if (task_result(stack, each, "prepare", "plan") or {}).get("solution_version_arn")
                        == champion
                    ),
                    None,
                ),
                f"recommend with the champion of {run['dag_id']}",
                timeout_seconds=WAIT_SECONDS,
            )
            assert recommended["run_type"] == "asset_triggered"
            pushed_after(stack, recommended, seen["push"])

    def test_a_rollback_reaches_braze_also_when_push_was_paused_meanwhile(
        self, stack: Stack, shop: Shop
    ) -> None:
        pause_when_idle(stack, f"{NAME}_export")
        wait_until_settled(stack, *(f"{NAME}_{stage}" for stage in FOLLOWING))
        pause_when_idle(stack, f"{NAME}_push")
        seen = {stage: ids(stack, stage) for stage in ("recommend", "push")}
        stack.api.unpause(f"{NAME}_rollback")
        stack.api.trigger(f"{NAME}_rollback")
        recommended = wait_for(
            lambda: next(iter(new_runs(stack, "recommend", seen["recommend"])), None),
            "recommend after the rollback",
            timeout_seconds=WAIT_SECONDS,
        )
        done = stack.api.wait_for_run(
            f"{NAME}_recommend", recommended["dag_run_id"], timeout_seconds=WAIT_SECONDS
        )
        assert (done["state"], done["run_type"]) == ("success", "asset_triggered")
        assert not new_runs(stack, "push", seen["push"])
        stack.api.unpause(f"{NAME}_push")
        delivered = pushed_after(stack, done, seen["push"])
        assert delivered["run_type"] == "scheduled"


@pytest.mark.skipif(
    not os.environ.get("RECSYNC_LONG_TESTS"), reason="takes long: RECSYNC_LONG_TESTS=1 runs it"
)
class TestUpstream:
    """The export waits for an asset of another program's DAG, as it would for one of dbt."""

    URI = "recsync://nightly/exports"
    TICKS = timedelta(minutes=5)
    PROGRAM = PROGRAM + (
        "\nexports: {overlap_intervals: 0, missing_intervals: 168}"
        "\nschedules: {export: {after: ['%s'], intervals: '*/5 * * * *'%s}, push: null}\n"
    )

    @pytest.fixture(scope="class")
    def waiting(self, stack: Stack) -> Iterator[Stack]:
        pause_when_idle(stack, f"{NAME}_export")
        write_files(stack.include, "nightly", PROGRAM)
        stack.change_program(NAME, self.PROGRAM % (self.URI, ""))
        wait_until_scheduled(stack, f"{NAME}_export", "Asset")
        wait_for(
            lambda: stack.api.dag("nightly_export"), "the DAG of the upstream asset", timeout_seconds=240
        )
        stack.api.unpause(f"{NAME}_export")
        yield stack
        (stack.include / "programs" / "nightly.yaml").unlink()
        stack.change_program(NAME)
        wait_until_scheduled(stack, f"{NAME}_export", "0 * * * *")

    def run_of(self, stack: Stack, kind: str, seen: set[str]) -> dict[str, Any]:
        """Wait for the end of a new run of this kind."""

        def ended() -> dict[str, Any] | None:
            found = [run for run in new_runs(stack, "export", seen) if run["run_type"] == kind]
            assert not [run for run in found if run["state"] == "failed"]
            return next((run for run in found if run["state"] == "success"), None)

        return wait_for(ended, f"{kind} run of the export", timeout_seconds=WAIT_SECONDS)

    def deadline(
        self, stack: Stack, seen: set[str], wanted: Callable[[datetime, datetime], bool]
    ) -> dict[str, Any]:
        """Wait for the end of a run of the cron whose interval is wanted."""

        def ended() -> dict[str, Any] | None:
            for run in new_runs(stack, "export", seen):
                interval = (run["data_interval_start"], run["data_interval_end"])
                if run["run_type"] == "scheduled" and wanted(*map(datetime.fromisoformat, interval)):
                    return run if run["state"] == "success" else None
            return None

        return wait_for(ended, "a run of the deadline", timeout_seconds=WAIT_SECONDS)

    def test_an_event_exports_the_intervals_that_were_complete_by_then(self, waiting: Stack) -> None:
        full = next(run for run in runs(waiting, "train_full") if run["state"] == "success")
        start = datetime.fromisoformat(task_result(waiting, full, "plan")["until"])
        before, seen = set(exports(waiting)), ids(waiting, "export")
        while object_of(start) in before:  # hours that the former schedule exported
            start += timedelta(hours=1)
        # Early in an hour, nothing is complete yet.
        wait_for(lambda: start + self.TICKS < datetime.now(UTC), "a complete interval", timeout_seconds=400)
        event = waiting.api.update_asset(self.URI)
        self.run_of(waiting, "asset_triggered", seen)
        expected = set()
        while start + self.TICKS <= event:
            expected.add(object_of(start))
            start += self.TICKS
        assert expected
        assert set(exports(waiting)) - before == expected

    def test_the_deadline_runs_only_when_no_event_came(self, waiting: Stack) -> None:
        began, seen = datetime.now(UTC), ids(waiting, "export")
        waiting.change_program(NAME, self.PROGRAM % (self.URI, ", cron: '*/2 * * * *'"))
        # For 10 s (min_serialized_dag_fetch_interval) the scheduler uses the former DAG. If it starts a run then, it
        # plans no next one until the file is parsed again: here in ten minutes, elsewhere in half a minute.
        time.sleep(15)
        waiting.api.parse_files()
        # The event of the test before may lie in the first interval.
        alone = self.deadline(waiting, seen, lambda start, _: began < start)
        assert task_result(waiting, alone, "unless_upstream") is True
        assert task_result(waiting, alone, "publish")

        event = waiting.api.update_asset(self.URI)
        self.run_of(waiting, "asset_triggered", seen)
        skipped = self.deadline(waiting, seen, lambda start, end: start < event < end)
        instances = waiting.api.task_instances(skipped["dag_id"], skipped["dag_run_id"])
        assert {each["task_id"] for each in instances if each["state"] == "success"} == {"unless_upstream"}
        assert {each["state"] for each in instances} == {"success", "skipped"}
        assert not task_result(waiting, skipped, "publish")


def object_of(start: datetime) -> str:
    return f"{NAME}/exports/interactions/{start:%Y-%m-%dT%H%MZ}.csv"


def ids(stack: Stack, stage: str) -> set[str]:
    return {run["dag_run_id"] for run in stack.api.dag_runs(f"{NAME}_{stage}")}


def new_runs(stack: Stack, stage: str, seen: set[str]) -> list[dict[str, Any]]:
    return [run for run in stack.api.dag_runs(f"{NAME}_{stage}") if run["dag_run_id"] not in seen]


def task_result(stack: Stack, run: dict[str, Any], task: str, key: str = "return_value") -> Any:
    return stack.api.xcom(run["dag_id"], run["dag_run_id"], task, key)


def promoted_by(stack: Stack, stage: str, seen: set[str]) -> dict[str, Any]:
    """Wait for a new run of a training that makes a champion."""

    def promoted() -> dict[str, Any] | None:
        found = new_runs(stack, stage, seen)
        assert not [run for run in found if run["state"] == "failed"]
        return next((run for run in found if task_result(stack, run, "promote")), None)

    return wait_for(promoted, f"a champion of {stage}", timeout_seconds=WAIT_SECONDS)


def pushed_after(stack: Stack, recommended: dict[str, Any], seen: set[str]) -> dict[str, Any]:
    """Wait for the push that delivers what a recommend run published, or what is newer."""

    def delivered() -> dict[str, Any] | None:
        published = task_result(stack, recommended, "publish")
        if published is None:
            return None
        found = (
            run
            for run in new_runs(stack, "push", seen)
            if run["state"] == "success"
            and (task_result(stack, run, "plan") or {}).get("recommendations", "") >= published["run"]
        )
        return next(found, None)

    return wait_for(delivered, "the push of the recommendations", timeout_seconds=WAIT_SECONDS)


def make_full_look_old(stack: Stack) -> None:
    """Name the newest FULL run two days earlier, as drift starts no FULL soon after another."""
    bucket, prefix = stack.plan.settings.bucket, f"{NAME}/full/"
    listed = stack.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    for key in [entry["Key"] for entry in listed if entry["Key"].endswith("/manifest.json")]:
        run = key.removeprefix(prefix)
        began = datetime.strptime(run[:15], "%Y%m%dT%H%M%S") - timedelta(days=2)
        earlier = f"{prefix}{began:%Y%m%dT%H%M%S}{run[15:]}"
        stack.s3.copy_object(Bucket=bucket, Key=earlier, CopySource={"Bucket": bucket, "Key": key})
        stack.s3.delete_object(Bucket=bucket, Key=key)


def test_a_backfill_writes_an_object_an_hour_twice_the_same_and_pays_for_nothing(stack: Stack) -> None:
    first, last = FULL_UNTIL - timedelta(hours=30), FULL_UNTIL - timedelta(hours=31 - HOURS)
    paid = paid_for(stack)
    hours = [first + timedelta(hours=n) for n in range(HOURS)]
    expected = {f"{NAME}/exports/interactions/{hour:%Y-%m-%dT%H%M}Z.csv" for hour in hours}
    assert not expected & exports(stack).keys()
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
        # The schedule may export the present hour meanwhile.
        written.append({key: entry["ETag"] for key, entry in exports(stack).items() if key in expected})
    assert written[0] == written[1]
    assert written[0].keys() == expected
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
    stack.change_program(NAME, program)
    dag_id, before = f"{NAME}_push", lists(stack)
    wait_for(
        lambda: "approve" in {task["task_id"] for task in stack.api.tasks(dag_id)},
        "Airflow to read the program file",
        timeout_seconds=120,
    )
    run_id = stack.api.trigger(dag_id)["dag_run_id"]

    def asking() -> dict[str, Any] | None:
        """Find the run that asks: recommendations of the test before may have started one, and ours waits for it."""
        for run in stack.api.dag_runs(dag_id):
            if run["state"] not in FINISHED and (
                question := stack.api.question(dag_id, run["dag_run_id"], "approve")
            ):
                return {"run": run["dag_run_id"], **question}
        return None

    question = wait_for(asking, "the question", timeout_seconds=180)
    assert f"| get another list | {len(before)} |" in question["body"]
    assert lists(stack) == before, "nothing is sent before somebody agrees"

    waiting: dict[tuple[str, int], float] = {}

    def agree(_: dict[str, Any]) -> None:
        """Agree as a person would, after some seconds.

        Airflow takes a task that is answered before its scheduler saw it wait for killed, and asks anew in a next try.
        """
        asked = asking()
        if asked is None:
            return
        tasks = stack.api.task_instances(dag_id, asked["run"])
        approve = next(task for task in tasks if task["task_id"] == "approve")
        if approve["state"] != "awaiting_input":
            return
        since = waiting.setdefault((asked["run"], approve["try_number"]), time.monotonic())
        if time.monotonic() - since > SECONDS_TO_DECIDE and not asked["response_received"]:
            stack.api.answer(dag_id, asked["run"], "approve", "Approve")

    done = stack.api.wait_for_run(dag_id, run_id, timeout_seconds=300, on_poll=agree)
    assert done["state"] == "success"
    profiles = stack.services.profiles()
    assert {who for who, a in profiles.items() if "recs_new" in a} == set(before)
    assert not [who for who, a in profiles.items() if "recs" in a]


def test_what_no_retry_can_help_fails_and_is_told_at_the_first_try(stack: Stack) -> None:
    told: list[dict[str, Any]] = []
    name = "lost-shop"
    with webhook(told) as port:
        address = ("--conn-host", "http://127.0.0.1", "--conn-port", str(port))
        stack.command("airflow", "--", "connections", "add", "team", "--conn-type", "http", *address)
        alerts = "alerts: [{via: webhook, connection: team, every_minutes: 0}]\n"
        # Two programs with one attribute would break each other's push.
        apart = PROGRAM.replace("attribute: recs", "attribute: lost_recs")
        stack.change_program(name, f"warehouse: nowhere\n{alerts}{apart}")
        dag_id = f"{name}_export"
        wait_for(lambda: stack.api.dag(dag_id), "Airflow to read the program file", timeout_seconds=120)
        stack.api.unpause(dag_id)
        run_id = wait_for(
            lambda: next(iter(stack.api.dag_runs(dag_id)), None),
            "the run of the schedule",
            timeout_seconds=60,
        )["dag_run_id"]
        assert stack.api.wait_for_run(dag_id, run_id, timeout_seconds=180)["state"] == "failed"
        wait_for(lambda: told, "the alert", timeout_seconds=60)
    failed = [task for task in stack.api.task_instances(dag_id, run_id) if task["state"] == "failed"]
    assert {(task["task_id"], task["try_number"], task["max_tries"]) for task in failed} == {
        ("export_items", 1, 3)
    }
    assert len(told) == 1
    assert "AIRFLOW_CONN_NOWHERE" in told[0]["text"]
    (stack.include / "programs" / f"{name}.yaml").unlink()


def test_no_log_file_holds_a_key_or_a_person(stack: Stack) -> None:
    secrets = [stack.services.braze_key, *list(stack.services.profiles())[:5]]
    logs = [path for path in stack.plan.settings.airflow_home.rglob("*.log") if path.is_file()]
    assert len(logs) > 20
    texts = {path: path.read_text(errors="replace") for path in logs}
    assert not [(path.name, secret) for path, text in texts.items() for secret in secrets if secret in text]


@contextmanager
def webhook(told: list[dict[str, Any]]) -> Generator[int]:
    """Serve an address that takes messages; yield its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


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
