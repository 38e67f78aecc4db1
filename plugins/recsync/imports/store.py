"""What imports keep on S3: the state of the datasets, submitted import jobs, and the position of a stream.

A plan's jobs are registered before they are created. The next plan looks up the jobs that were never marked as done: an
ACTIVE one imported its rows, even when its run failed. So a crash never imports rows twice.

One cursor is enough for streams: one run at a time streams into a dataset group, one object after the other. A new try
takes it over by compare-and-swap; an earlier try that still runs stops at its next chunk.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from airflow_personalize.hooks.personalize import MAX_SUFFIX, PersonalizeHook, suffixed
from airflow_personalize.refusals import error_code
from airflow_personalize.resource import State, state_of
from airflow_personalize.resources import DATASET_IMPORT_JOB
from recsync.context import StageContext
from recsync.errors import FatalError, RetriableError
from recsync.imports.dataset_state import DatasetState
from recsync.imports.plans import PendingImports, Plan, UpdatePlan
from recsync.program import DatasetType
from recsync.storage.bucket import Bucket
from recsync.storage.document import Document
from recsync.storage.keys import Keys

_STATE, _STREAM = "imports.json", "stream.json"
_REFUSED = "refused"
_NAMED_ROWS = 1_000


@dataclass(frozen=True)
class ImportStore:
    """The dataset state of one program."""

    bucket: Bucket
    keys: Keys
    shared: ClassVar[str] = "data"

    def read(self) -> DatasetState:
        """Read the state; empty before the first FULL import."""
        return self._document.get()

    def change(self, change: Callable[[DatasetState], DatasetState]) -> DatasetState:
        """Change the state; a change that another run made meanwhile is kept.

        :param change: returns the new state for the present one; may be called more than once.
        :returns: the state as it is now.
        """
        return self._document.update(change)

    @property
    def _document(self) -> Document[DatasetState]:
        return Document(
            self.bucket,
            self.keys.state(_STATE),
            self._parse,
            DatasetState.to_json,
            remedy=f"restore it, or delete it and run {self.keys.program}_train_full",
        )

    def _parse(self, document: Any) -> DatasetState:
        if document is None:
            return DatasetState()
        state = DatasetState.from_json(document)
        return state if "datasets" in document else self._with_objects(state)

    def _with_objects(self, state: DatasetState) -> DatasetState:
        """Find the import objects of the intervals, which the former format does not name."""
        objects: dict[str, tuple[str, ...]] = {}
        for key in self.bucket.keys(self.keys.all_imports):
            folder, _, name = key.removesuffix(".csv").rpartition("/")
            if name in state.intervals and folder.endswith(f"/{DatasetType.INTERACTIONS.folder}"):
                objects[name] = (*objects.get(name, ()), key)
        return replace(state, objects=objects)


def imported_until(program_name: str) -> datetime | None:
    """Return the end of the last FULL import of interactions; None before the first."""
    last = StageContext.of(program_name).store(ImportStore).read().full.get(DatasetType.INTERACTIONS)
    return last.until if last else None


log = logging.getLogger(__name__)
_CLEAR = "Clear this run from its task plan on: it imports what is not imported yet."


def reconcile(context: StageContext) -> list[str]:
    """Reconcile import jobs that an earlier run left pending.

    :returns: names of the jobs that are still running; none when all are reconciled.
    """
    pending = context.store(ImportStore).read().pending_imports
    if not pending:
        return []
    states = {kind: import_state(context, job.dataset_arn, job.name) for kind, job in pending.jobs.items()}
    for kind, state in states.items():
        log.info("Import job %s of an earlier run: %s", pending.jobs[kind].name, state or "not imported")
    running = [pending.jobs[kind].name for kind, state in states.items() if state is State.PENDING]
    if not running:
        ready = [kind for kind, state in states.items() if state is State.READY]
        context.store(ImportStore).change(
            lambda now: _without_pending(now, pending, ready) if now.pending_imports == pending else now
        )
    return running


def reconcile_others(context: StageContext, plan: Plan) -> None:
    """Reconcile another run's jobs before those of a plan are registered in their place.

    :raises RetriableError: while they are running.
    """
    pending = context.store(ImportStore).read().pending_imports
    if pending and pending.plan.run != plan.run and (running := reconcile(context)):
        raise RetriableError(
            f"An import of another run is under way: {', '.join(running)}. It must end first."
        )


def is_imported(context: StageContext, plan: UpdatePlan) -> bool:
    """Return whether the rows of a plan are imported; its tasks may be cleared long after.

    :raises FatalError: when other imports came after the plan: they may have brought, or replaced, some of its rows.
    """
    now = context.store(ImportStore).read()
    if now.pending_imports and now.pending_imports.plan.run == plan.run:
        return False
    if now.has_imported(plan):
        return True
    if any(now.version(kind) != version for kind, version in plan.after.items()):
        raise FatalError(
            f"Other rows were imported since {plan.run} was planned, and its own may be among them. {_CLEAR}"
        )
    return False


def register(context: StageContext, pending: PendingImports) -> None:
    """Register the jobs of a plan before they are created."""
    context.store(ImportStore).change(lambda now: replace(now, pending_imports=pending))


def check_registered(context: StageContext, dataset_arn: str, name: str) -> None:
    """Check, right before an import job is created or adopted, that it is registered or exists.

    :raises FatalError: when another run reconciled it before it existed.
    """
    pending = context.store(ImportStore).read().pending_imports
    names = {job.name for job in pending.jobs.values()} if pending else set()
    if name not in names and import_state(context, dataset_arn, name) is None:
        raise FatalError(
            f"Another run looked for import job {name} before it was there, and its rows may be imported since. "
            f"{_CLEAR}"
        )


def mark_done(context: StageContext, plan: Plan) -> None:
    """Record that all jobs of a plan are ACTIVE; idempotent.

    :raises FatalError: when another run reconciled the jobs before they were ACTIVE.
    """

    def done(now: DatasetState) -> DatasetState:
        pending = now.pending_imports
        if pending and pending.plan.run == plan.run:
            return _without_pending(now, pending, pending.full or pending.jobs)
        if now.has_imported(plan):
            return now
        raise FatalError(
            f"Another run looked into the import jobs of {plan.run} before they were ACTIVE and counted them as "
            "failed. Clear this run from its task plan on: it finds its jobs again and pays for none of them twice."
        )

    context.store(ImportStore).change(done)


def _without_pending(
    now: DatasetState, pending: PendingImports, imported: Iterable[DatasetType]
) -> DatasetState:
    done = set(imported)
    for kind in done:
        now = now.after_import(pending, kind)
    if done >= set(pending.full or pending.jobs):
        now = now.after_plan(pending.plan)
    return replace(now, pending_imports=None)


def import_state(context: StageContext, dataset_arn: str, name: str) -> State | None:
    """Look up an import job, and its retries, which have a suffix.

    :param name: of the first try.
    :returns: READY when one try is ACTIVE, else PENDING when one is running, else None.
    """
    hook = PersonalizeHook(aws_conn_id=context.program.aws)
    tries = {suffixed(name, number) for number in range(1, MAX_SUFFIX + 1)}
    with hook.errors(f"list import jobs of {dataset_arn}", DATASET_IMPORT_JOB):
        # boto3 makes the methods at run time, so they have no types.
        api: Any = hook.conn
        try:
            pages = api.get_paginator("list_dataset_import_jobs").paginate(datasetArn=dataset_arn)
            jobs = [job for page in pages for job in page["datasetImportJobs"] if job["jobName"] in tries]
        except ClientError as error:
            if "NotFound" not in error_code(error):
                raise
            return None  # the dataset was deleted, and its rows with it
    states = {state_of(job) for job in jobs}
    return next((state for state in (State.READY, State.PENDING) if state in states), None)


@dataclass(frozen=True)
class Cursor:
    """The position of streaming in one object.

    :param content: dataset, interval and digest of the object; another object begins at its first row.
    :param rows: number of rows streamed or refused so far.
    :param owner: unique id of the try that streams.
    :param sent: records that the service took.
    :param calls: of the service.
    :param bytes: bodies of accepted calls, which are billed.
    :param refused: number of a row, from 1 -> reason; at most 1,000 are named.
    :param refused_rows: how many rows were refused.
    """

    content: str = ""
    rows: int = 0
    owner: str = ""
    sent: int = 0
    calls: int = 0
    bytes: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)
    refused_rows: int = 0

    def after(
        self, rows: int, *, sent: int, calls: int, size_bytes: int, refused: Mapping[int, str]
    ) -> Cursor:
        """Return the cursor after a chunk.

        :param rows: the last row of the chunk.
        """
        named = {**self.refused, **{str(number): reason for number, reason in sorted(refused.items())}}
        return replace(
            self,
            rows=rows,
            sent=self.sent + sent,
            calls=self.calls + calls,
            bytes=self.bytes + size_bytes,
            refused=dict(list(named.items())[:_NAMED_ROWS]),
            refused_rows=self.refused_rows + len(refused),
        )


@dataclass(frozen=True)
class StreamStore:
    """The streaming of one dataset group, kept by the owner of the data."""

    bucket: Bucket
    keys: Keys
    shared: ClassVar[str] = "data"

    def take_over(self, content: str, owner: str) -> Cursor:
        """Begin to stream an object, or continue where another try stopped."""

        def change(now: Cursor) -> Cursor:
            return replace(now if now.content == content else Cursor(content), owner=owner)

        return self._document.update(change)

    def advance(self, cursor: Cursor) -> None:
        """Record a chunk.

        :raises RetriableError: when another try has taken over.
        """
        now, etag = self._document.get_with_etag()
        if (now.content, now.owner) != (cursor.content, cursor.owner) or (
            self._document.replace(cursor, etag) is None
        ):
            raise RetriableError(
                "Another try of this task took over streaming these rows, so this try stops."
            )

    def report(self, run: str, dataset: str, interval: str, cursor: Cursor) -> None:
        """Write the refused rows of an object to the run's report, if there are any."""
        if not cursor.refused_rows:
            return

        def change(found: dict[str, Any]) -> dict[str, Any]:
            entry = {"refused_rows": cursor.refused_rows, "reasons": dict(cursor.refused)}
            return {**found, f"{dataset}/{interval}": entry}

        key = self.keys.run_document("imports", run, _REFUSED)
        Document(self.bucket, key, lambda found: found or {}, lambda found: found).update(change)

    @property
    def _document(self) -> Document[Cursor]:
        return Document(
            self.bucket,
            self.keys.state(_STREAM),
            lambda found: Cursor(**found) if found else Cursor(),
            asdict,
            remedy="delete it: the rows of one object are then streamed again, with their former event ids",
        )
