"""Stream the rows of a plan by PutEvents, PutItems and PutUsers, without an import job or a training.

An object is streamed in chunks, and each chunk is recorded in the cursor before the next begins. A killed try resends
at most one chunk: its events have the same event ids, so they count once, and items and users replace themselves. A
row that our checks or the service refuse is reported with its number and reason.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from airflow_personalize.hooks.personalize_runtime import (
    PUT_EVENTS,
    PUT_ITEMS,
    PUT_USERS,
    PersonalizeEventsHook,
    Put,
    Sent,
)
from recsync import settings
from recsync.context import StageContext
from recsync.costs import budget, estimate
from recsync.costs.usage import record_stream
from recsync.errors import FatalError
from recsync.imports.dataset_state import DatasetState
from recsync.imports.plans import StreamPlan, Taken
from recsync.imports.put_records import ObjectRecords
from recsync.imports.store import Cursor, ImportStore, StreamStore
from recsync.privacy import withhold_literals
from recsync.program import DatasetType

log = logging.getLogger(__name__)

_EVENTS = DatasetType.INTERACTIONS
_BLOCK_BYTES = 4 * 1024 * 1024
# Fewer refused rows may be coincidence.
_ALL_REFUSED_ROWS = 10
# A chunk takes some seconds at the service's pace; its records are in memory.
_CHUNK_ROWS = {_EVENTS: 5_000, DatasetType.ITEMS: 250, DatasetType.USERS: 250}
PUTS: Mapping[DatasetType, Put] = {
    DatasetType.ITEMS: PUT_ITEMS,
    DatasetType.USERS: PUT_USERS,
    _EVENTS: PUT_EVENTS,
}
"""The operations, in the order in which a run streams: an event may be about a new item."""


@dataclass(frozen=True)
class Streamed:
    """What a run streamed of one dataset, over all its tries."""

    rows: int = 0
    calls: int = 0
    bytes: int = 0
    refused: int = 0

    def plus(self, cursor: Cursor) -> Streamed:
        """Add one object."""
        return Streamed(
            self.rows + cursor.sent,
            self.calls + cursor.calls,
            self.bytes + cursor.bytes,
            self.refused + cursor.refused_rows,
        )


def stream(
    program_name: str, plan: Mapping[str, Any], owners: Mapping[str, str]
) -> dict[DatasetType, Streamed]:
    """Stream the objects of a plan, oldest interval first; skip rows that earlier tries streamed.

    :param plan: JSON of a :class:`StreamPlan`.
    :param owners: dataset type -> ARN of the dataset; of interactions, the tracking id.
    :returns: figures of the objects that this try completed.
    :raises BudgetExceededError: the month's budget does not allow it.
    :raises FatalError: other rows were imported or streamed since, or the service refuses a whole chunk.
    :raises RetriableError: another try streams these rows.
    """
    context, planned = StageContext.of(program_name), StreamPlan.from_json(plan)
    hook = PersonalizeEventsHook(aws_conn_id=context.program.aws)
    _check_budget(context, planned)
    found: dict[DatasetType, Streamed] = {}
    for kind in PUTS:
        for number, taken in enumerate(planned.taken.get(kind, ())):
            state = context.store(ImportStore).read()
            if _is_done(state, kind, taken):
                continue
            _check_version(state, planned, kind, number)
            cursor = _Object(context, kind, taken, owners[kind.value], hook).stream()
            context.store(StreamStore).report(planned.run, kind.folder, taken.interval, cursor)
            record_stream(
                context,
                _name(planned, kind, taken),
                owners[kind.value],
                rows=cursor.sent,
                size_bytes=cursor.bytes,
            )
            context.store(ImportStore).change(
                lambda now, kind=kind, taken=taken: now.after_increment(kind, [taken])  # type: ignore[misc]  # bound now
            )
            found[kind] = found.get(kind, Streamed()).plus(cursor)
    context.store(ImportStore).change(lambda now: replace(now, update_run=planned.run))
    return found


def _name(plan: StreamPlan, kind: DatasetType, taken: Taken) -> str:
    """Name an object in the cost ledger."""
    return f"{plan.run}/{kind.folder}/{taken.interval}"


def _check_budget(context: StageContext, plan: StreamPlan) -> None:
    """Check that the month's budget allows the remaining objects.

    :raises BudgetExceededError: it does not; nothing more is streamed.
    """
    state = context.store(ImportStore).read()
    left = {
        _name(plan, kind, each): each.key
        for kind, taken in plan.taken.items()
        for each in taken
        if not _is_done(state, kind, each)
    }
    budget.check_budget(context, plan.run, estimate.streaming(context, left))


def _is_done(state: DatasetState, kind: DatasetType, taken: Taken) -> bool:
    return state.intervals.get(taken.interval, {}).get(kind.value) == taken.digest


def _check_version(state: DatasetState, plan: StreamPlan, kind: DatasetType, number: int) -> None:
    """Check that a dataset got no other rows since the plan: older items would replace newer ones."""
    before = plan.taken[kind][:number]
    last = state.full.get(kind)
    own = bool(before) and last is not None and last.digest == before[-1].digest
    if not own and state.version(kind) != plan.after[kind]:
        raise FatalError(
            f"Other rows of {kind.folder} were imported or streamed since {plan.run} was planned, and its own may be "
            "among them. Clear this run from its task plan on: it streams what is missing."
        )


@dataclass(frozen=True)
class _Object:
    """One object to stream."""

    context: StageContext
    kind: DatasetType
    taken: Taken
    owner: str
    hook: PersonalizeEventsHook

    def stream(self) -> Cursor:
        """Stream the rows that no try has streamed, and return the cursor after them."""
        store = self.context.store(StreamStore)
        etag = self.context.bucket.etag(self.taken.key)
        content = f"{self.kind.folder}/{self.taken.interval}/{self.taken.digest}/{etag}"
        cursor = store.take_over(content, uuid.uuid4().hex)
        if etag is None:  # the later objects of the run have all its items
            return cursor
        schema = settings.schema(self.context.program, self.kind)
        rows = ObjectRecords(self.kind, schema, self._blocks())
        records = rows.after(cursor.rows)
        while chunk := list(islice(records, _CHUNK_ROWS[self.kind])):
            sent, refused = self._put([record for _, record in chunk])
            by_row = {chunk[position - 1][0]: reason for position, reason in refused.items()}
            cursor = cursor.after(
                chunk[-1][0],
                sent=sent.records,
                calls=sent.requests,
                size_bytes=sent.bytes,
                refused=by_row | rows.taken_out(chunk[-1][0]),
            )
            store.advance(cursor)
            log.info("%s of %s: %d rows streamed", self.kind.folder, self.taken.interval, cursor.rows)
        if left := rows.taken_out(rows.read):
            cursor = cursor.after(rows.read, sent=0, calls=0, size_bytes=0, refused=left)
            store.advance(cursor)
        return cursor

    def _put(self, records: list[dict[str, Any]]) -> tuple[Sent, dict[int, str]]:
        settings = self.context.program.personalize.streaming
        is_events = self.kind is _EVENTS
        refused: dict[int, str] = {}
        sent = self.hook.put(
            PUTS[self.kind],
            self.owner,
            records,
            requests_per_second=settings.event_calls_per_second
            if is_events
            else settings.record_calls_per_second,
            # Items and users replace each other by their ids, so their calls keep their order.
            connections=settings.connections if is_events else 1,
            on_refused=lambda position, reason: refused.__setitem__(position, withhold_literals(reason)),
        )
        if len(refused) == len(records) >= _ALL_REFUSED_ROWS:
            raise FatalError(
                f"Amazon Personalize refuses every one of {len(records)} rows of {self.kind.folder}: "
                f"{refused[1]} Nothing of them is recorded as streamed. Correct what it names, and clear this task."
            )
        return sent, refused

    def _blocks(self) -> Iterator[bytes]:
        body = self.context.bucket.stream(self.taken.key)
        while block := body.read(_BLOCK_BYTES):
            yield block
