"""Start processes that outlive the command, find them again, and stop them with their children.

A process is identified by its id and start time, because the system reuses ids.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess  # ruff: ignore[suspicious-subprocess-import] - starting processes is its purpose
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # psutil ships no types

Process = psutil.Process
MARKER = "STACK_SUPERVISED_BY"
"""Environment variable that every process of a stack inherits."""

_START_TIME_TOLERANCE_SECONDS = 1.0  # the system clock may change between two readings


@dataclass(frozen=True)
class Record:
    """Describe a started process, as stored in `run/<name>.json`."""

    name: str
    pid: int
    started_at: float
    port: int | None
    log: str
    fingerprint: str

    @property
    def is_alive(self) -> bool:
        """Return whether this process is running and not a zombie."""
        return _process(self) is not None


def _process(record: Record) -> psutil.Process | None:
    with suppress(psutil.Error):
        process = psutil.Process(record.pid)
        same = abs(process.create_time() - record.started_at) < _START_TIME_TOLERANCE_SECONDS
        if same and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def start(
    name: str,
    argv: Sequence[str],
    environ: Mapping[str, str],
    *,
    log: Path,
    run: Path,
    port: int | None = None,
    fingerprint: str = "",
) -> Record:
    """Start a process in a new session, with its output in `log` and its record in `run`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    run.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_name(log.name + ".1"))
    # A child inherits an ignored SIGINT (as set by `&` in a script), but not a handler.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(  # ruff: ignore[subprocess-without-shell-equals-true] - our own commands
                list(argv),
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
    finally:
        signal.signal(signal.SIGINT, before)
    started_at = psutil.Process(process.pid).create_time()
    record = Record(name, process.pid, started_at, port, str(log), fingerprint)
    (run / f"{name}.json").write_text(json.dumps(asdict(record)))
    return record


def find(run: Path, name: str) -> Record | None:
    """Read the record of a part, of a running or ended process; None if missing or invalid."""
    try:
        return Record(**json.loads((run / f"{name}.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def forget(run: Path, name: str) -> None:
    """Remove a part's record."""
    (run / f"{name}.json").unlink(missing_ok=True)


def members(record: Record) -> list[psutil.Process]:
    """List a started process, its descendants and its session, including orphans.

    The system does not reuse an id while a session with that id exists. So if another process has the id, the
    session has ended.
    """
    leader = _process(record)
    if leader is None and psutil.pid_exists(record.pid) and not _is_zombie(record.pid):
        return []
    found = {
        process.pid: process for process in psutil.process_iter() if _session_of(process.pid) == record.pid
    }
    if leader is not None:
        with suppress(psutil.Error):
            found.update((child.pid, child) for child in [leader, *leader.children(recursive=True)])
    return [process for process in found.values() if not _is_zombie(process.pid)]


def strays(stack_id: str) -> list[psutil.Process]:
    """List processes with this stack's marker in their environment, except this one and its parents."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid not in own and process.environ().get(MARKER) == stack_id:
                found.append(process)
    return [process for process in found if not _is_zombie(process.pid)]


def stop(
    processes: Iterable[psutil.Process], *, grace_seconds: float = 0.0, force_seconds: float = 10.0
) -> bool:
    """Wait `grace_seconds` for processes to end, then send SIGTERM, then SIGKILL.

    Return whether SIGKILL was needed.
    """
    remaining = _wait(list(processes), grace_seconds)
    _signal(remaining, signal.SIGTERM)
    remaining = _wait(remaining, force_seconds)
    _signal(remaining, signal.SIGKILL)
    _wait(remaining, force_seconds)
    return bool(remaining)


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)  # psutil checks the start time first


def _wait(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    deadline = time.monotonic() + seconds
    while processes and time.monotonic() < deadline:
        time.sleep(0.05)
        processes = [process for process in processes if process.is_running() and not _is_zombie(process.pid)]
    return processes


def _is_zombie(pid: int) -> bool:
    try:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # our own children stay zombies until waited for
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True  # does not exist


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def interrupt(records: Iterable[Record]) -> None:
    """Send SIGINT to several session leaders, so that they end in parallel."""
    _signal([process for record in records if (process := _process(record))], signal.SIGINT)
