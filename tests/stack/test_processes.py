from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from stack import processes
from stack.processes import MARKER, Record

Start = Callable[..., Record]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start Python code as a part; whatever is left is killed at the end."""
    records: list[Record] = []

    def run(code: str, name: str = "fake", **environ: str) -> Record:
        argv = [sys.executable, "-c", textwrap.dedent(code)]
        record = processes.start(
            name, argv, {**os.environ, **environ}, log=tmp_path / f"{name}.log", run=tmp_path / "run", port=1
        )
        records.append(record)
        return record

    yield run
    for record in records:
        for process in processes.members(record):
            process.kill()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


SLEEP = "import time; print('ready', flush=True); time.sleep(600)"
STUBBORN = "import signal; [signal.signal(s, signal.SIG_IGN) for s in (2, 15)];" + SLEEP
FAMILY = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', %r]);" + SLEEP


def is_ready(tmp_path: Path, lines: int = 1) -> bool:
    return (tmp_path / "fake.log").read_text().count("ready") >= lines


def test_a_started_process_is_found_again(start: Start, tmp_path: Path) -> None:
    record = start(SLEEP)
    assert processes.find(tmp_path / "run", "fake") == record
    assert record.is_alive
    assert os.getsid(record.pid) == record.pid


def test_no_record_or_a_broken_one_means_none(tmp_path: Path) -> None:
    assert processes.find(tmp_path, "fake") is None
    (tmp_path / "fake.json").write_text("{}")
    assert processes.find(tmp_path, "fake") is None


def test_the_former_log_is_kept(start: Start, tmp_path: Path) -> None:
    (tmp_path / "fake.log").write_text("before")
    start(SLEEP)
    assert (tmp_path / "fake.log.1").read_text() == "before"


def test_sigint_reaches_a_child_of_a_process_that_ignores_it(start: Start, tmp_path: Path) -> None:
    """A script's `&` leaves SIGINT ignored, and a child would inherit that."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        record = start(SLEEP)
    finally:
        signal.signal(signal.SIGINT, before)
    until(lambda: is_ready(tmp_path))
    processes.interrupt([record])
    assert not processes.stop(processes.members(record), grace_seconds=20, force_seconds=0)
    assert not record.is_alive
    assert "KeyboardInterrupt" in (tmp_path / "fake.log").read_text()


def test_a_recycled_id_is_never_touched(start: Start) -> None:
    record = start(SLEEP)
    recycled = dataclasses.replace(record, started_at=record.started_at - 3600)
    assert not recycled.is_alive
    assert processes.members(recycled) == []
    processes.interrupt([recycled])
    assert record.is_alive


def test_what_ignores_every_signal_is_killed(start: Start, tmp_path: Path) -> None:
    record = start(STUBBORN)
    until(lambda: is_ready(tmp_path))
    assert processes.stop(processes.members(record), grace_seconds=0.1, force_seconds=0.3)
    assert not record.is_alive


def test_orphans_are_found_by_their_session(start: Start, tmp_path: Path) -> None:
    record = start(FAMILY % STUBBORN)
    until(lambda: is_ready(tmp_path, lines=2))
    os.kill(record.pid, signal.SIGKILL)
    until(lambda: not record.is_alive)
    orphans = processes.members(record)
    assert len(orphans) == 1
    assert processes.stop(orphans, force_seconds=0.3)
    assert processes.members(record) == []


def test_strays_are_found_by_their_mark(start: Start, tmp_path: Path) -> None:
    code = "import os; os.setsid() if os.fork() == 0 else os._exit(0);" + SLEEP
    start(code, **{MARKER: "this stack"})
    until(lambda: is_ready(tmp_path))
    other = subprocess.Popen(
        [sys.executable, "-c", SLEEP], env={MARKER: "another"}, stdout=subprocess.DEVNULL
    )
    try:
        found = processes.strays("this stack")
        assert len(found) == 1
        assert found[0].pid != other.pid
        processes.stop(found)
        assert processes.strays("this stack") == []
        assert psutil.pid_exists(other.pid)
    finally:
        other.kill()
        other.wait()
