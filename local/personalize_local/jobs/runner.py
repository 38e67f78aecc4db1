"""Drive every resource with an unfinished job, one thread each, also those that a killed server left.

Threads only wait and write states; heavy work runs in worker processes. Each state lasts at least
`dwell_seconds`, so that a user or a sensor can see it.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Generator
from contextlib import contextmanager

from personalize_local.errors import JobFailed
from personalize_local.jobs.batch import BatchInferenceJob, BatchSegmentJob
from personalize_local.jobs.deletions import DataDeletion
from personalize_local.jobs.exports import DatasetExport
from personalize_local.jobs.imports import DatasetImport
from personalize_local.jobs.job import Job, JobContext
from personalize_local.jobs.recommenders import Recommender, RecommenderUpdate
from personalize_local.jobs.training import Training
from personalize_local.jobs.updates import (
    Campaign,
    CampaignUpdate,
    Dataset,
    DatasetUpdate,
    Solution,
    SolutionUpdate,
)
from personalize_local.jobs.workers import Worker, WorkerCrashed, WorkerLost, WorkerPool
from personalize_local.resources import (
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
    CAMPAIGN,
    CAMPAIGN_UPDATE,
    CREATE_STOPPED,
    CREATE_STOPPING,
    CREATING,
    DATA_DELETION_JOB,
    DATASET,
    DATASET_EXPORT_JOB,
    DATASET_GROUP,
    DATASET_IMPORT_JOB,
    DATASET_UPDATE,
    DELETE_IN_PROGRESS,
    DELETE_PENDING,
    DELETING,
    EVENT_TRACKER,
    FILTER,
    KINDS,
    METRIC_ATTRIBUTION,
    RECOMMENDER,
    RECOMMENDER_UPDATE,
    SOLUTION,
    SOLUTION_UPDATE,
    SOLUTION_VERSION,
    TRANSITIONS,
    Resource,
)

JOBS: dict[str, Job] = {
    DATASET_GROUP.noun: Job(),
    DATASET.noun: Dataset(),
    FILTER.noun: Job(),
    SOLUTION.noun: Solution(),
    DATASET_IMPORT_JOB.noun: DatasetImport(),
    DATASET_EXPORT_JOB.noun: DatasetExport(),
    DATASET_UPDATE.noun: DatasetUpdate(),
    DATA_DELETION_JOB.noun: DataDeletion(),
    SOLUTION_UPDATE.noun: SolutionUpdate(),
    SOLUTION_VERSION.noun: Training(),
    BATCH_INFERENCE_JOB.noun: BatchInferenceJob(),
    BATCH_SEGMENT_JOB.noun: BatchSegmentJob(),
    CAMPAIGN.noun: Campaign(),
    CAMPAIGN_UPDATE.noun: CampaignUpdate(),
    EVENT_TRACKER.noun: Job(),
    METRIC_ATTRIBUTION.noun: Job(),
    RECOMMENDER.noun: Recommender(),
    RECOMMENDER_UPDATE.noun: RecommenderUpdate(),
}


_POLL_SECONDS = 0.02  # interval at which a waiting job checks whether it may continue


class _Interrupted(Exception):  # ruff: ignore[error-suffix-on-exception-name] - a signal between functions of this module
    """End a job's thread: the server closes, or the resource is being stopped."""


class Runner:
    """Run jobs until closed; call `submit` and `cancel` only after the transaction of the request is committed."""

    def __init__(self, context: JobContext, *, dwell_seconds: float, workers: int) -> None:
        self._context = context
        self._store = context.store
        self._dwell_seconds = dwell_seconds
        self._pool = WorkerPool(workers)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._cancelled: set[str] = set()
        self._working: dict[str, Worker] = {}
        self._threads: dict[str, threading.Thread] = {}

    def resume(self) -> None:
        """Resume the jobs that an earlier process left unfinished."""
        for resource in self._store.unfinished():
            self.submit(resource.arn)

    def submit(self, arn: str) -> None:
        """Start the job of a resource, from its current state."""
        thread = threading.Thread(target=self._drive, args=(arn,), name=arn, daemon=True)
        with self._lock:
            if self._closing.is_set():
                return
            self._threads[arn] = thread
        thread.start()

    def cancel(self, arn: str) -> None:
        """Stop the job of a resource in state CREATE STOPPING."""
        with self._lock:
            self._cancelled.add(arn)
            worker = self._working.get(arn)
            if worker is not None:
                worker.kill()

    def close(self) -> None:
        """Stop all jobs; the next process resumes them."""
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
            elif resource.status in TRANSITIONS:
                self._change(resource)
            else:
                self._create(resource)
        except _Interrupted:
            self._stop(arn)
        finally:
            with self._lock:
                self._threads.pop(arn, None)
                self._cancelled.discard(arn)
        if not self._closing.is_set():
            self._context.storage.collect_garbage(self._store)

    def _create(self, resource: Resource) -> None:
        job = JOBS[resource.kind]
        if resource.status == CREATE_STOPPING:
            raise _Interrupted
        if resource.status == KINDS[resource.kind].states.pending:
            self._dwell(resource.arn, self._dwell_seconds)
        while job.must_wait(self._context, resource):
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
            self._context.gather_rows()
        with self._store.transaction():
            resource = self._in_creation(arn)
            resource.move_to(KINDS[resource.kind].states.in_progress)
            self._store.save(resource)
            task = job.begin(self._context, resource)
        result = worker.run(task) if worker and task else None
        wall_seconds = time.monotonic() - started
        self._dwell(arn, self._dwell_seconds - wall_seconds)
        with self._store.transaction():
            resource = self._in_creation(arn)
            if not job.settles:
                resource.move_to(KINDS[resource.kind].states.done)
            job.finish(self._context, resource, result, wall_seconds)
            self._store.save(resource)

    def _settle(self, arn: str, job: Job) -> None:
        while not job.settle(self._context, self._in_creation(arn)):
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
                JOBS[resource.kind].stop(self._context, resource)
                self._store.save(resource)

    def _change(self, resource: Resource) -> None:
        """Stop or start a recommender."""
        in_progress, done = TRANSITIONS[resource.status]
        for state in (in_progress, done):
            self._dwell(resource.arn, self._dwell_seconds)
            with self._store.transaction():
                resource.move_to(state)
                if state == done:
                    JOBS[resource.kind].changed(self._context, resource)
                self._store.save(resource)

    def _delete(self, resource: Resource) -> None:
        self._dwell(resource.arn, self._dwell_seconds)
        # A dataset group has no state DELETE IN_PROGRESS.
        if resource.status == DELETE_PENDING and resource.kind != DATASET_GROUP.noun:
            resource.move_to(DELETE_IN_PROGRESS)
            self._store.save(resource)
            self._dwell(resource.arn, self._dwell_seconds)
        with self._store.transaction():
            JOBS[resource.kind].delete(self._context, resource)

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
