"""Define the interface of jobs, which create and delete one kind of resource."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from personalize_local.jobs.workers import Task
from personalize_local.resources import Resource
from personalize_local.storage import Storage
from personalize_local.store import Store


@dataclass(frozen=True)
class JobContext:
    """Services and settings for jobs.

    :param gather_rows: moves all streamed rows into the datasets' files; called before heavy work begins.
    :param forget_users: removes users from the streamed rows of datasets (by sequence number), and from all caches of
        the real-time services.
    :param event_age_seconds: age from which batch jobs see a streamed event.
    :param min_import_interactions: minimum records of an import of interactions.
    :param line_faults: share of a batch job's output lines with an injected fault.
    """

    store: Store
    storage: Storage
    gather_rows: Callable[[], None] = lambda: None
    forget_users: Callable[[Sequence[int], Sequence[str]], None] = lambda _datasets, _users: None
    event_age_seconds: float = 0.0
    min_import_interactions: int = 1
    line_faults: float = 0.0


class Job:
    """Create and delete a resource without work: dataset groups, datasets, solutions, filters."""

    heavy = False
    settles = False

    def must_wait(self, _context: JobContext, _resource: Resource) -> bool:
        """Return whether another job has to end first."""
        return False

    def begin(self, _context: JobContext, _resource: Resource) -> Task | None:
        """Return the task of a worker, by the current state; raise `JobFailed`."""
        return None

    def finish(self, _context: JobContext, _resource: Resource, _result: Any, _wall_seconds: float) -> None:
        """Store the result, in the transaction that makes the resource ACTIVE; raise `JobFailed`."""

    def settle(self, _context: JobContext, _resource: Resource) -> bool:
        """Complete the job after `finish` is committed; return False to retry soon.

        Must be idempotent: a killed server repeats the whole job. Only called when `settles`.
        """
        return True

    def stop(self, _context: JobContext, _resource: Resource) -> None:
        """Handle the stop, in the transaction that makes the resource STOPPED."""

    def changed(self, context: JobContext, resource: Resource) -> None:
        """Handle the end of a stop or start, in the transaction that sets the state."""

    def delete(self, context: JobContext, resource: Resource) -> None:
        """Remove the resource, in one transaction."""
        context.store.delete(resource.arn)
