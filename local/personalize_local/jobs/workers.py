"""Run heavy work in separate processes, so that the HTTP server stays responsive and work can be stopped.

A worker process is reused for the next task. It exits when the server ends, even by kill -9.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import Any

from personalize_local.errors import JobFailed

# Workers are forked from a process without threads (a fork of the server itself may hang) that has imported what they
# need: a fresh interpreter takes 1.3 s of CPU for it. The first import job makes PyArrow load its datasets and pandas,
# another second in each worker.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["personalize_local.jobs.runner", "pyarrow.dataset", "pandas"])
_STARTING = threading.Lock()


class WorkerLost(Exception):  # ruff: ignore[error-suffix-on-exception-name] - says what happened to the worker
    """The worker process ended before its task: killed, or out of memory."""


class WorkerCrashed(Exception):  # ruff: ignore[error-suffix-on-exception-name] - says what happened in the worker
    """Traceback of an unexpected error in a worker."""


@dataclass(frozen=True)
class Task:
    """A module-level function and its arguments, sent to the worker by pickle."""

    function: Callable[..., Any]
    arguments: dict[str, Any] = field(default_factory=dict)


class Worker:
    """Run tasks one after another in one process, started with the first task."""

    def __init__(self) -> None:
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None
        self._lock = threading.Lock()
        self._killed = False

    def run(self, task: Task) -> Any:
        """Return the task's result; raise `JobFailed`, `WorkerCrashed` or `WorkerLost`."""
        try:
            with self._lock:
                pipe = self._started()
                pipe.send(task)
            outcome, value = pipe.recv()
        except (EOFError, OSError) as error:
            self.kill()
            raise WorkerLost("the worker process ended before its task") from error
        if outcome == "failed":
            raise JobFailed(value)
        if outcome == "crashed":
            raise WorkerCrashed(value)
        return value

    def kill(self) -> None:
        """Kill the process and its task; accept no other task before `revive`."""
        with self._lock:
            self._killed = True
            if self._process is not None:
                self._process.kill()
                self._process.join()

    def revive(self) -> None:
        """Accept tasks again after a kill."""
        self._killed = False

    def _started(self) -> Connection:
        if self._killed:
            raise EOFError
        if self._pipe is None or self._process is None or not self._process.is_alive():
            _start_fork_server()
            self._pipe, far_end = _CONTEXT.Pipe()
            self._process = _CONTEXT.Process(target=_serve, args=(far_end, dict(os.environ)), daemon=True)
            self._process.start()
            far_end.close()
        return self._pipe


class WorkerPool:
    """A fixed number of workers."""

    def __init__(self, size: int) -> None:
        self._all = [Worker() for _ in range(size)]
        self._idle: queue.Queue[Worker] = queue.Queue()
        self._closed = False
        for worker in self._all:
            self._idle.put(worker)

    def take(self, timeout_seconds: float) -> Worker | None:
        """Return an idle worker; None after the timeout."""
        try:
            return self._idle.get(timeout=timeout_seconds)
        except queue.Empty:
            return None

    def give_back(self, worker: Worker) -> None:
        """Make a worker idle again."""
        if not self._closed:
            worker.revive()
        self._idle.put(worker)

    def close(self) -> None:
        """Kill all processes."""
        self._closed = True
        for worker in self._all:
            worker.kill()


def _start_fork_server() -> None:
    """Start the process that workers are forked from, unless it runs.

    Before Python 3.14 it does not get `sys.path`, and would silently skip the imports. It gets the C library's
    environment, so `os.environ`, which other threads may be reading, stays as it is.
    """
    with _STARTING:
        os.putenv("PYTHONPATH", os.pathsep.join(sys.path))
        try:
            forkserver.ensure_running()
        finally:
            if "PYTHONPATH" in os.environ:
                os.putenv("PYTHONPATH", os.environ["PYTHONPATH"])
            else:
                os.unsetenv("PYTHONPATH")


def _serve(pipe: Connection, environment: dict[str, str]) -> None:
    # That of the fork server is older: a server started later in the same process may have another S3.
    os.environ.clear()
    os.environ.update(environment)
    # Ctrl-C signals the whole process group; the server stops its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        pipe.send(_outcome(task))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _outcome(task: Task) -> tuple[str, Any]:
    try:
        return "done", task.function(**task.arguments)
    except JobFailed as failure:
        return "failed", str(failure)
    except Exception:  # ruff: ignore[blind-except] - whatever went wrong belongs to this task and not to the worker
        return "crashed", traceback.format_exc()
