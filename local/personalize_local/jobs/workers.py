"""Run heavy work in processes of its own, so that the HTTP side stays responsive and work can be stopped.

A worker is kept for the next task. It ends by itself when the server is gone, also after kill -9.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from personalize_local.errors import JobFailed

# A fresh interpreter per worker: a fork of a process with threads may hang.
_CONTEXT = multiprocessing.get_context("spawn")


class WorkerLost(Exception):  # ruff: ignore[error-suffix-on-exception-name] - says what happened to the worker
    """Tell that the worker ended before its task did: killed, or out of memory."""


class WorkerCrashed(Exception):  # ruff: ignore[error-suffix-on-exception-name] - says what happened in the worker
    """Carry the traceback of an error that is this server's own."""


@dataclass(frozen=True)
class Task:
    """Name a module-level function and its arguments; both travel by pickle."""

    function: Callable[..., Any]
    arguments: dict[str, Any] = field(default_factory=dict)


class Worker:
    """Run tasks one after another in one process, which starts with the first task."""

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
        """End the process and lose its task; no other task is taken before `revive`."""
        with self._lock:
            self._killed = True
            if self._process is not None:
                self._process.kill()
                self._process.join()

    def revive(self) -> None:
        """Take tasks again after a kill."""
        self._killed = False

    def _started(self) -> Connection:
        if self._killed:
            raise EOFError
        if self._pipe is None or self._process is None or not self._process.is_alive():
            self._pipe, far_end = _CONTEXT.Pipe()
            self._process = _CONTEXT.Process(target=_serve, args=(far_end,), daemon=True)
            self._process.start()
            far_end.close()
        return self._pipe


class WorkerPool:
    """Hold a fixed number of workers."""

    def __init__(self, size: int) -> None:
        self._all = [Worker() for _ in range(size)]
        self._idle: queue.Queue[Worker] = queue.Queue()
        self._closed = False
        for worker in self._all:
            self._idle.put(worker)

    def take(self, timeout_seconds: float) -> Worker | None:
        """Return an idle worker, or None when none becomes idle in time."""
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
        """End all processes for good."""
        self._closed = True
        for worker in self._all:
            worker.kill()


def _serve(pipe: Connection) -> None:
    # Ctrl-C reaches the whole terminal group; the server decides what becomes of its workers.
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
