"""What can happen to the task itself: it is killed, or has no room."""

from __future__ import annotations

import random
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from matrix_faults import dropped
from matrix_rows import Scenario, Stage, retried
from matrix_s3 import CONFLICT, DISK_FULL, INTERNAL_ERROR, Refusal
from matrix_tasks import Ended, Task

KILLS = 20
# With eight connections: some hundred calls a second, so that a delivery lasts for all the kills.
SLOW = {"latency_ms": 80}
# Each write of planning and of closing, in order; the ledger's are among the random ones.
_PLAN_WRITES = (
    "canary.parquet",
    "rest.parquet",
    "settled.parquet",
    "sample.json",
    "plan.json",
    "last_sent.json",
)
_CLOSING_WRITES = (
    "accounts.parquet",
    r"last_sent/\d+-.*\.parquet",
    "last_sent.json",
    "report.json",
    r"ledger/\d+.json",
)
_ANYTIME_SECONDS = 0.9


def scenarios(seed: int, kills: int = KILLS) -> list[Scenario]:
    """List them.

    :param seed: of the moments.
    """
    return [
        Scenario(
            f"kill -9, {kills} random moments", f"seed {seed}", deliver=_Killed(kills, seed), settings=SLOW
        ),
        Scenario("kill -9 at each write of the plan", "before and after", deliver=killed_in_plan),
        Scenario("kill -9 at each write of the closing", "before and after", deliver=killed_in_closing),
        Scenario("state store full while sending", "2 tries long", deliver=_Full(r"/ledger/", DISK_FULL)),
        Scenario("state store full at the end", "2 tries long", deliver=_Full(r"accounts|state/", DISK_FULL)),
        Scenario(
            "state store full while planning", "2 tries long", deliver=_Full(r"writes/|plan.json", DISK_FULL)
        ),
        Scenario("state store answers 500", "each second write", deliver=_Flaky("", INTERNAL_ERROR)),
        # Written on conditions: the ledger, the last-sent state and the money's book.
        Scenario(
            "state store answers 409",
            "each second write",
            deliver=_Flaky(r"/ledger/|/state/.*json", CONFLICT),
        ),
        Scenario("worker's disk full (file size limit)", "2 tries long", deliver=small_files),
        Scenario("worker's disk full (tmpfs of 64 KB)", "2 tries long", deliver=small_disk),
        Scenario(
            "state store full while mending drops",
            "1 try long",
            deliver=mending_fails,
            faults=lambda world: [dropped()],
            mends=True,
        ),
    ]


class _Killed:
    def __init__(self, kills: int, seed: int) -> None:
        self._kills, self._seed = kills, seed

    def __call__(self, stage: Stage) -> str:
        """Kill the delivering task at random moments until it has been killed often enough, then let it end."""
        stage.publish(2)
        delivery = stage.plan(2, "run-2")
        moments = random.Random(self._seed)
        with _calls_of(stage, 2):
            for _ in range(self._kills):
                task = Task("deliver", stage.kit.name, delivery)
                stage.tries += 1
                if task.ends_within(moments.uniform(0.1, _ANYTIME_SECONDS)):
                    break
                task.kill()
                task.wait()
                stage.hits += 1
        finish(stage, delivery)
        return delivery


def killed_in_plan(stage: Stage) -> str:
    """Kill the planning task at each of its writes, before and after it took place."""
    stage.publish(2)
    for write in _PLAN_WRITES:
        for before in (True, False):
            _killed_at(stage, write, before, lambda: Task("plan", stage.kit.name, "2", {"dag_run": "run-2"}))
    delivery = stage.plan(2, "run-2")
    stage.deliver(delivery)
    return delivery


def killed_in_closing(stage: Stage) -> str:
    """Kill the delivering task at each of its last writes, before and after it took place."""
    stage.publish(2)
    delivery = stage.plan(2, "run-2")
    for write in _CLOSING_WRITES:
        for before in (True, False):
            # A ledger's entry counts once the report is there: it is the one that closes.
            since = "report.json" if "ledger" in write else ""
            _killed_at(stage, write, before, lambda: Task("deliver", stage.kit.name, delivery), since=since)
            stage.tries += 1
    finish(stage, delivery)
    return delivery


def _killed_at(stage: Stage, write: str, before: bool, start: Callable[[], Task], since: str = "") -> None:
    """Start a task and kill it at the first write whose key ends so."""
    pattern, seen, started = re.compile(f"{write}$"), [not since], []

    def strike(key: str) -> Refusal | None:
        seen[0] = seen[0] or key.endswith(since)
        if not (seen[0] and pattern.search(key)):
            return None
        stage.door.open()
        while not started:
            time.sleep(0.01)
        started[0].kill()
        stage.hits += 1
        return DISK_FULL

    if before:
        stage.door.before = strike
    else:
        stage.door.after = strike
    started.append(start())
    ended = started[0].wait()
    stage.door.open()
    if ended.error != "killed":
        stage.missed.append(f"{write} {'before' if before else 'after'}: {ended.error or 'ended'}")


class _Full:
    """Refuse writes of some keys until two tries have failed."""

    def __init__(self, keys: str, refusal: Refusal) -> None:
        self._keys, self._refusal = re.compile(keys), refusal

    def __call__(self, stage: Stage) -> str:
        stage.publish(2)
        writes = 0

        def refuse(key: str) -> Refusal | None:
            nonlocal writes
            if not self._keys.search(key):
                return None
            writes += 1
            # The first two pass, so that it happens in the middle.
            return self._refusal if writes > 2 else None

        stage.door.before = refuse
        delivery = ""
        for _ in range(2):
            if not delivery:
                planned = Task("plan", stage.kit.name, "2", {"dag_run": "run-2"}).wait()
                delivery = planned.result["delivery"] if planned.result else ""
                _expect_retriable(stage, planned)
            if delivery:
                _expect_retriable(stage, Task("deliver", stage.kit.name, delivery).wait())
                stage.tries += 1
        stage.hits += max(0, writes - 2)
        stage.door.open()
        delivery = delivery or stage.plan(2, "run-2")
        finish(stage, delivery)
        return delivery


class _Flaky:
    """Refuse each second write of some keys."""

    def __init__(self, keys: str, refusal: Refusal) -> None:
        self._keys, self._refusal = re.compile(keys), refusal

    def __call__(self, stage: Stage) -> str:
        """Plan and deliver meanwhile."""
        writes = 0

        def refuse(key: str) -> Refusal | None:
            nonlocal writes
            if not self._keys.search(key):
                return None
            writes += 1
            stage.hits += writes % 2
            return self._refusal if writes % 2 else None

        stage.publish(2)
        stage.door.before = refuse
        delivery = stage.plan(2, "run-2")
        stage.deliver(delivery)
        return delivery


def small_files(stage: Stage) -> str:
    """Let no file of the worker grow over 20 KB, in planning and in delivering."""
    stage.publish(2)
    for _ in range(2):
        _expect_failure(
            stage, Task("plan", stage.kit.name, "2", {"dag_run": "run-2"}, file_bytes=20_000).wait()
        )
    delivery = stage.plan(2, "run-2")
    for _ in range(2):
        _expect_failure(stage, Task("deliver", stage.kit.name, delivery, file_bytes=20_000).wait())
        stage.tries += 1
    finish(stage, delivery)
    return delivery


def small_disk(stage: Stage) -> str:
    """Let the worker's temporary folder be full."""
    stage.publish(2)
    with _disk("64k") as folder:
        for _ in range(2):
            _expect_failure(
                stage, Task("plan", stage.kit.name, "2", {"dag_run": "run-2"}, tmpdir=folder).wait()
            )
        delivery = stage.plan(2, "run-2")
        for _ in range(2):
            _expect_failure(stage, Task("deliver", stage.kit.name, delivery, tmpdir=folder).wait())
            stage.tries += 1
    finish(stage, delivery)
    return delivery


def can_mount() -> bool:
    """Say whether a disk of one's own can be had here."""
    with tempfile.TemporaryDirectory() as folder:
        if subprocess.run(
            ["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False
        ).returncode:
            return False
        subprocess.run(["umount", folder], check=True)
    return True


@contextmanager
def _disk(size: str) -> Generator[str]:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def finish(stage: Stage, delivery: str) -> None:
    """Let the task be tried until it ends."""

    def one() -> Ended:
        ended = Task("deliver", stage.kit.name, delivery).wait()
        if ended.result is None:
            raise RuntimeError(ended.error)
        return ended

    stage.tries += retried(one)[1]


def _expect_failure(stage: Stage, ended: Ended) -> None:
    """Note a task that did not notice, or that Airflow would not try again."""
    if not ended.error or ended.fatal:
        stage.missed.append(f"expected a retriable failure: {ended.error[:150] or 'ended well'}")
    else:
        stage.hits += 1


def _expect_retriable(stage: Stage, ended: Ended) -> None:
    if ended.fatal:
        stage.missed.append(f"expected a retriable failure: {ended.error[:150]}")


@contextmanager
def _calls_of(stage: Stage, people: int) -> Generator[None]:
    stage.connect(max_objects=people)
    try:
        yield
    finally:
        stage.connect()


def mending_fails(stage: Stage) -> str:
    """Let the state store be full when verification begins to mend what Braze dropped."""
    delivery = stage.push(2)

    def refuse(key: str) -> Refusal | None:
        if "/ledger/" not in key:
            return None
        stage.hits += 1
        stage.door.open()
        return DISK_FULL

    stage.door.before = refuse
    return delivery
