"""What training keeps on S3: the lock of a dataset group, and tuning results.

The lock lets one run at a time import, train or delete in a dataset group. It is one object, and counts only while
Airflow reports its holder's run as running, so it needs no release: a killed worker leaves no lock behind. A run that
needs it for a part of its work only gives it back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resource import Resource, State, state_of, status_of
from airflow_personalize.resources import DATA_DELETION_JOB, DATASET_GROUP, SOLUTION, SOLUTION_VERSION
from recsync.context import StageContext
from recsync.errors import RetriableError
from recsync.imports.store import reconcile
from recsync.program import names
from recsync.storage.bucket import Bucket
from recsync.storage.document import Document, append_once, history
from recsync.storage.keys import Keys

log = logging.getLogger(__name__)
_LOCK_NAME = "lease.json"
_TUNING_NAME = "tuning.json"


@dataclass(frozen=True)
class Holder:
    """A DAG run that holds the lock.

    :param since: ISO 8601.
    """

    dag_id: str
    run_id: str
    since: str = ""

    def same_run(self, other: Holder) -> bool:
        """Return whether both are the same run, whenever it took the lock."""
        return (self.dag_id, self.run_id) == (other.dag_id, other.run_id)

    def __str__(self) -> str:
        return f"run {self.run_id} of {self.dag_id}, since {self.since}"


@dataclass(frozen=True)
class LockStore:
    """The lock of a dataset group, kept by the owner of the data."""

    bucket: Bucket
    keys: Keys
    shared: ClassVar[str] = "data"

    def read(self) -> Holder | None:
        """Read the run that took the lock last."""
        return self._document.get()

    def acquire(self, run: Holder, is_running: Callable[[Holder], bool]) -> Holder | None:
        """Take the lock for a run, again if it has it.

        :param is_running: returns whether Airflow still works on a run.
        :returns: None when the run has the lock now, otherwise the run that has it.
        """

        def change(holder: Holder | None) -> Holder:
            if holder and (holder.same_run(run) or is_running(holder)):
                return holder
            if holder:
                log.info("The lock of %s is over: it was that of %s", self.keys.program, holder)
            return Holder(run.dag_id, run.run_id, datetime.now(UTC).isoformat())

        holder = self._document.update(change)
        return None if holder is None or holder.same_run(run) else holder

    def release(self, run: Holder) -> None:
        """Give the lock back before the run ends; does nothing when another run has it."""
        self._document.update(lambda holder: None if holder and holder.same_run(run) else holder)

    @property
    def _document(self) -> Document[Holder | None]:
        return Document(
            self.bucket,
            self.keys.state(_LOCK_NAME),
            read=lambda document: Holder(**document) if document else None,
            write=lambda holder: asdict(holder) if holder else None,
        )


class TuningOutcome(StrEnum):
    """The result of one search."""

    PINNED = "pinned"
    NOT_KEPT = "not kept"
    RESET = "reset"


@dataclass(frozen=True)
class TuningResult:
    """One search, or a reset that unpins earlier ones.

    :param at: ISO 8601.
    :param recipe: the tuned recipe; its hyperparameters are of no use to others.
    :param hyperparameters: the winners.
    :param metrics: of ``GetSolutionMetrics``, of the version trained with them.
    :param reason: the figures for or against it.
    """

    outcome: TuningOutcome
    at: str
    run_id: str
    recipe: str = ""
    solution_version_arn: str = ""
    hyperparameters: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    reason: str = ""

    @classmethod
    def parse(cls, entry: dict[str, Any]) -> TuningResult:
        """Read one entry."""
        return cls(**{**entry, "outcome": TuningOutcome(entry["outcome"])})


@dataclass(frozen=True)
class TuningStore:
    """The searches of one program."""

    bucket: Bucket
    keys: Keys

    def history(self) -> list[TuningResult]:
        """Read every entry, oldest first."""
        return self._document.get()

    def pinned(self, recipe: str) -> TuningResult | None:
        """Read the pinned result of a recipe; None before its first search, and after a reset."""
        for entry in reversed(self.history()):
            if entry.outcome is TuningOutcome.RESET:
                return None
            if entry.outcome is TuningOutcome.PINNED and entry.recipe == recipe:
                return entry
        return None

    def record(self, entry: TuningResult) -> None:
        """Record an entry, once per run, outcome and version."""
        append_once(
            self._document, entry, lambda each: (each.run_id, each.outcome, each.solution_version_arn)
        )

    @property
    def _document(self) -> Document[list[TuningResult]]:
        key, remedy = self.keys.state(_TUNING_NAME), "restore it, or delete it to forget every search"
        return history(self.bucket, key, TuningResult.parse, remedy=remedy)


IsRunning = Callable[[Holder], bool]


def blocked_by(context: StageContext, run: Holder, is_running: IsRunning, priority: str | None) -> str | None:
    """Acquire the lock for a run as soon as it may begin.

    :param priority: a run that goes before this one, if there is one.
    :returns: what the run waits for; None when it has the lock and nothing of an earlier run is running.
    """
    holder = context.store(LockStore).read()
    # The priority run itself waits for a run that has the lock already and waits for an earlier run's jobs.
    if priority and not (holder and holder.same_run(run)):
        return f"{priority}, which goes first"
    if other := context.store(LockStore).acquire(run, is_running):
        return str(other)
    if jobs := running_jobs(context):
        return f"what an earlier run began: {', '.join(jobs)}"
    return None


def assert_lock(context: StageContext, run: Holder, is_running: IsRunning) -> None:
    """Check, right before a billed step, that a run has the lock: a person may clear its task at any time.

    :raises RetriableError: when another run has it.
    """
    if other := context.store(LockStore).acquire(run, is_running):
        raise RetriableError(
            f"{context.program.name}: {other}, imports, trains or deletes in the dataset group. Nothing is begun "
            "beside it; the task is tried again."
        )


def running_jobs(context: StageContext) -> list[str]:
    """Name the jobs that earlier runs left running in the dataset group; nothing is begun before they end.

    A cleared run finds its own jobs among them, and adopts the results.
    """
    found = [f"import job {name}" for name in reconcile(context)]
    hook = PersonalizeHook(aws_conn_id=context.program.aws)
    name = names.dataset_group_name(context.program)
    for group in (g["datasetGroupArn"] for g in hook.listed(DATASET_GROUP) if g["name"] == name):
        for solution in hook.listed(SOLUTION, datasetGroupArn=group):
            versions = hook.listed(SOLUTION_VERSION, solutionArn=solution["solutionArn"])
            found += _running(SOLUTION_VERSION, versions)
        found += _running(DATA_DELETION_JOB, hook.listed(DATA_DELETION_JOB, datasetGroupArn=group))
    return found


def _running(resource: Resource, summaries: Iterable[Mapping[str, Any]]) -> list[str]:
    return [
        f"{resource.noun} {summary[resource.arn_member]} ({status_of(summary)})"
        for summary in summaries
        if state_of(summary) is State.PENDING
    ]
