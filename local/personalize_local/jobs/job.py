"""Say what a job is: how one kind of resource is made and unmade."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from personalize_local.jobs.workers import Task
from personalize_local.resources import Resource
from personalize_local.storage import Storage
from personalize_local.store import Store


@dataclass(frozen=True)
class Surroundings:
    """Carry what jobs may use.

    :param gather_rows: makes all streamed rows part of their datasets' files; called before heavy work begins.
    :param forget_users: removes users from the streamed rows of datasets, given by their numbers, and from all
        copies and caches of real-time services.
    :param event_age_seconds: age from which batch jobs see a streamed event.
    :param min_import_interactions: least records of an import of interactions.
    :param line_faults: share of a batch job's lines without a whole answer.
    """

    store: Store
    storage: Storage
    gather_rows: Callable[[], None] = lambda: None
    forget_users: Callable[[Sequence[int], Sequence[str]], None] = lambda _datasets, _users: None
    event_age_seconds: float = 0.0
    min_import_interactions: int = 1
    line_faults: float = 0.0


class Job:
    """Make and unmake resources that need no work: dataset groups, datasets, solutions, filters."""

    heavy = False
    settles = False

    def must_wait(self, _around: Surroundings, _resource: Resource) -> bool:
        """Tell whether another job has to end first."""
        return False

    def begin(self, _around: Surroundings, _resource: Resource) -> Task | None:
        """Return the work to be done, from the state as it is now; raise `JobFailed`."""
        return None

    def finish(self, _around: Surroundings, _resource: Resource, _result: Any, _wall_seconds: float) -> None:
        """Take over the result, in the transaction that makes the resource ACTIVE; raise `JobFailed`."""

    def settle(self, _around: Surroundings, _resource: Resource) -> bool:
        """Do what has to follow a committed `finish` before the resource is done; False to be asked again soon.

        Repeatable: a killed server begins the whole job anew. Only called when `settles`.
        """
        return True

    def stop(self, _around: Surroundings, _resource: Resource) -> None:
        """Take note, in the transaction that makes the resource STOPPED."""

    def delete(self, around: Surroundings, resource: Resource) -> None:
        """Remove the resource, in one transaction."""
        around.store.delete(resource.arn)
