"""A whole stack with a real scheduler, for tests that need one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
from services import REPO, Services, free_port
from shop import PROGRAM, ROW_CONTENT, Shop, write_files

from stack import airflow_api, processes
from stack.airflow_api import FINISHED, AirflowApi
from stack.console import make_plan
from stack.ports import DEFAULT_PORTS, variable
from stack.s3_state import client

STACK_TIMEOUT_SECONDS = 2400
# A CI machine took 2.4 times as long as the one where the tests' own timeouts were chosen.
os.environ["STACK_PATIENCE"] = "3"
# Looking each second keeps the API server at a tenth of a core, for as long as a test waits.
wait_for = partial(airflow_api.wait_for, poll_seconds=3)


class Stack:
    """A stack of its own, driven as a person would: by its command line."""

    def __init__(self, folder: Path) -> None:
        self.include = folder / "include"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "AWS_", "STACK_"))}
        self.environ = {
            **kept,
            "PYTHONPATH": str(REPO / "local"),
            "STACK_PATIENCE": os.environ["STACK_PATIENCE"],
            "STACK_HOME": str(folder / "stack"),
            "STACK_SAMPLE": "0",
            "STACK_TIME_SCALE": "0",
            "AIRFLOW__RECSYNC__INCLUDE_FOLDER": str(self.include),
            # Parsing every 15 s takes a third of a core; the tests ask for it when they change a program file.
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
            # Jobs are done at once; the scheduler has noted a deferral well before these seconds are over.
            "AIRFLOW__RECSYNC__WAITER_DELAY_SECONDS": "4",
            # Two stacks that start at the same time would choose the same ports.
            **{variable(part): str(free_port()) for part in DEFAULT_PORTS},
        }

    def command(self, *words: str) -> str:
        """Run one command of the stack and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "stack", *words],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=STACK_TIMEOUT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def backfill(self, program: str, *words: str) -> None:
        """Create a backfill of the exports; an earlier one counts as running for a while after its last run."""
        dag_id = f"{program}_export"
        wait_for(
            lambda: all(backfill["completed_at"] for backfill in self.api.backfills(dag_id)),
            "the earlier backfill to be over",
            timeout_seconds=300,
        )
        self.command("airflow", "--", "backfill", "create", "--dag-id", dag_id, *words)

    def change_program(self, name: str, program: str = PROGRAM) -> None:
        """Write a program file, and have Airflow read it."""
        write_files(self.include, name, program)
        self.api.parse_files()

    def connect(self) -> None:
        """Find out where everything listens."""
        self.plan = make_plan(self.environ)
        self.api = AirflowApi(self.plan.url("airflow"), "admin", self.plan.secrets.airflow_admin_password)
        self.s3 = client(self.plan.url("s3"))
        self.services = Services(
            self.plan.server().dsn(),
            self.plan.url("s3"),
            self.plan.url("personalize"),
            self.plan.url("braze"),
            self.plan.secrets.braze_api_key,
            braze_narrow_key="",
        )


@contextmanager
def open_shop(folder: Path, name: str, *options: str, program: str = PROGRAM) -> Generator[Stack]:
    """Start a stack with one shop, run its chain once, and stop it at the end.

    :param options: of ``run``, e.g. ``--until`` and a time.
    :param program: the program file.
    """
    running = Stack(folder)
    # Before the start, so that the first parsing finds the program.
    write_files(running.include, name, program)
    try:
        running.command("up")
        running.connect()
        Shop(running.services, running.include, name).load()
        running.command("run", name, *options)
        yield running
        assert not telling(folder), telling(folder)[:5]
    finally:
        running.command("down")


def telling(folder: Path) -> list[str]:
    """Find lines of Airflow's logs, of tasks and of its own processes, that hold an id or a value of a record."""
    return [
        f"{path.relative_to(folder)}: {line}"
        for path in (folder / "stack").rglob("*.log")
        if "airflow" in str(path.relative_to(folder))
        for line in path.read_text(errors="replace").splitlines()
        if ROW_CONTENT.search(line)
    ]


def wait_until_scheduled(stack: Stack, dag_id: str, schedule: str) -> None:
    """Wait until Airflow has read a DAG's new schedule from the program file."""

    def read() -> bool:
        return schedule in str((stack.api.dag(dag_id) or {}).get("timetable_summary"))

    wait_for(read, f"Airflow to read the schedule of {dag_id}", timeout_seconds=240)


def wait_until_settled(stack: Stack, *dag_ids: str) -> None:
    """Wait until no run of some DAGs goes on."""

    def settled() -> bool:
        return all(run["state"] in FINISHED for dag_id in dag_ids for run in stack.api.dag_runs(dag_id))

    wait_for(settled, "all runs to end", timeout_seconds=600)


def pause_when_idle(stack: Stack, dag_id: str) -> None:
    """Pause a DAG while no run of it goes on: Airflow starts no further task of a paused DAG, so its run never ends."""

    def paused() -> bool:
        wait_until_settled(stack, dag_id)
        stack.api.set_paused(dag_id, paused=True)
        if all(run["state"] in FINISHED for run in stack.api.dag_runs(dag_id)):
            return True
        stack.api.unpause(dag_id)
        return False

    wait_for(paused, f"a moment to pause {dag_id}", timeout_seconds=600)


def kill_and_restart(stack: Stack, *parts: str) -> None:
    """Kill parts with no chance to clean up, and start them again."""
    for part in parts:
        record = processes.find(stack.plan.settings.run, part)
        assert record is not None
        psutil.Process(record.pid).send_signal(signal.SIGKILL)
    printed = stack.command("up")
    assert all(f"{part}: healthy after" in printed for part in parts)
