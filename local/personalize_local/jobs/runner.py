"""Drive every resource that is not in a final state, one thread each, also those a killed server left.

Threads only wait and write states; heavy work runs in worker processes. Each state lasts at least
`dwell_seconds`, so that a person or a sensor can see it.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Generator
from contextlib import contextmanager

from personalize_local.errors import JobFailed
from personalize_local.jobs.job import Job, Surroundings
from personalize_local.jobs.kinds import JOBS
from personalize_local.jobs.workers import Worker, WorkerCrashed, WorkerLost, WorkerPool
from personalize_local.resources import (
    CREATE_STOPPED,
    CREATE_STOPPING,
    CREATING,
    DATASET_GROUP,
    DELETE_IN_PROGRESS,
    DELETE_PENDING,
    DELETING,
    KINDS,
    Resource,
)

_POLL_SECONDS = 0.02  # how often a job looks whether it may go on


class _Interrupted(Exception):  # ruff: ignore[error-suffix-on-exception-name] - a signal between functions of this module
    """Leave a job: the server closes, or the resource is being stopped."""


class Runner:
    """Run jobs until closed; `submit` and `cancel` only after the transaction that wants it is committed."""

    def __init__(self, around: Surroundings, *, dwell_seconds: float, workers: int) -> None:
        self._around = around
        self._store = around.store
        self._dwell_seconds = dwell_seconds
        self._pool = WorkerPool(workers)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._cancelled: set[str] = set()
        self._working: dict[str, Worker] = {}
        self._threads: dict[str, threading.Thread] = {}

    def resume(self) -> None:
        """Take up what a former process left unfinished."""
        for resource in self._store.unfinished():
            self.submit(resource.arn)

    def submit(self, arn: str) -> None:
        """Move a resource on from the state it is in."""
        thread = threading.Thread(target=self._drive, args=(arn,), name=arn, daemon=True)
        with self._lock:
            if self._closing.is_set():
                return
            self._threads[arn] = thread
        thread.start()

    def cancel(self, arn: str) -> None:
        """Stop the work on a resource, whose state already says that it is being stopped."""
        with self._lock:
            self._cancelled.add(arn)
            worker = self._working.get(arn)
            if worker is not None:
                worker.kill()

    def close(self) -> None:
        """End all work; states stay as they are, to be resumed by the next process."""
        with self._lock:
            self._closing.set()
            threads = list(self._threads.values())
        self._pool.close()
        for thread in threads:
            thread.join()

    def _drive(self, arn: str) -> None:
        try:
            resource = self._store.get(arn)
            if resource is None:
                return
            if resource.status in DELETING:
                self._delete(resource)
            else:
                self._create(resource)
        except _Interrupted:
            self._stop(arn)
        finally:
            with self._lock:
                self._threads.pop(arn, None)
                self._cancelled.discard(arn)
        if not self._closing.is_set():
            self._around.storage.collect_garbage(self._store)

    def _create(self, resource: Resource) -> None:
        job = JOBS[resource.kind]
        if resource.status == CREATE_STOPPING:
            raise _Interrupted
        if resource.status == KINDS[resource.kind].states.pending:
            self._dwell(resource.arn, self._dwell_seconds)
        while job.must_wait(self._around, resource):
            self._dwell(resource.arn, _POLL_SECONDS)
        try:
            with self._worker(resource.arn, job) as worker:
                self._work(resource.arn, job, worker)
            if job.settles:
                self._settle(resource.arn, job)
        except JobFailed as failure:
            self._fail(resource.arn, str(failure))
        except WorkerLost as error:
            self._check_interrupted(resource.arn)
            self._fail(resource.arn, f"Internal error: {error}.")
        except _Interrupted:
            raise
        except Exception as error:  # ruff: ignore[blind-except] - a job must end in a state, whatever happens in it
            self._fail(resource.arn, _internal_error(error))

    def _work(self, arn: str, job: Job, worker: Worker | None) -> None:
        started = time.monotonic()
        if job.heavy:
            self._around.gather_rows()
        with self._store.transaction():
            resource = self._in_creation(arn)
            resource.move_to(KINDS[resource.kind].states.in_progress)
            self._store.save(resource)
            task = job.begin(self._around, resource)
        result = worker.run(task) if worker and task else None
        wall_seconds = time.monotonic() - started
        self._dwell(arn, self._dwell_seconds - wall_seconds)
        with self._store.transaction():
            resource = self._in_creation(arn)
            if not job.settles:
                resource.move_to(KINDS[resource.kind].states.done)
            job.finish(self._around, resource, result, wall_seconds)
            self._store.save(resource)

    def _settle(self, arn: str, job: Job) -> None:
        while not job.settle(self._around, self._in_creation(arn)):
            self._dwell(arn, _POLL_SECONDS)
        with self._store.transaction():
            resource = self._in_creation(arn)
            resource.move_to(KINDS[resource.kind].states.done)
            self._store.save(resource)

    def _in_creation(self, arn: str) -> Resource:
        resource = self._store.get(arn)
        if resource is None or resource.status not in CREATING:
            raise _Interrupted
        return resource

    def _fail(self, arn: str, reason: str) -> None:
        with self._store.transaction():
            resource = self._in_creation(arn)
            resource.move_to(KINDS[resource.kind].states.failed, reason)
            self._store.save(resource)

    def _stop(self, arn: str) -> None:
        if self._closing.is_set():
            return
        self._closing.wait(self._dwell_seconds)
        with self._store.transaction():
            resource = self._store.get(arn)
            if resource is not None and resource.status == CREATE_STOPPING:
                resource.move_to(CREATE_STOPPED)
                JOBS[resource.kind].stop(self._around, resource)
                self._store.save(resource)

    def _delete(self, resource: Resource) -> None:
        self._dwell(resource.arn, self._dwell_seconds)
        # A dataset group knows no DELETE IN_PROGRESS.
        if resource.status == DELETE_PENDING and resource.kind != DATASET_GROUP.noun:
            resource.move_to(DELETE_IN_PROGRESS)
            self._store.save(resource)
            self._dwell(resource.arn, self._dwell_seconds)
        with self._store.transaction():
            JOBS[resource.kind].delete(self._around, resource)

    @contextmanager
    def _worker(self, arn: str, job: Job) -> Generator[Worker | None]:
        if not job.heavy:
            yield None
            return
        worker = None
        while worker is None:
            self._check_interrupted(arn)
            worker = self._pool.take(_POLL_SECONDS)
        try:
            with self._lock:
                self._working[arn] = worker
            self._check_interrupted(arn)
            yield worker
        finally:
            with self._lock:
                del self._working[arn]
            self._pool.give_back(worker)

    def _dwell(self, arn: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while True:
            self._check_interrupted(arn)
            left = end - time.monotonic()
            if left <= 0:
                return
            self._closing.wait(min(left, _POLL_SECONDS))

    def _check_interrupted(self, arn: str) -> None:
        if self._closing.is_set() or arn in self._cancelled:
            raise _Interrupted


def _internal_error(error: Exception) -> str:
    trace = str(error) if isinstance(error, WorkerCrashed) else "".join(traceback.format_exception(error))
    print(trace, file=sys.stderr, flush=True)
    return f"Internal error: {trace.strip().splitlines()[-1]}"
