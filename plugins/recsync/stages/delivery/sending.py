"""Send planned writes to Braze over many connections, and settle each by Braze's own word.

* taken: a 201 that does not name the object
* rejected: Braze named the object, or refused it when it stood alone
* given up (dead letter): no clear answer for this object alone although Braze answered others
* still open: the delivery stopped first; the next try sends it again

https://www.braze.com/docs/api/endpoints/user_data/post_user_track/
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from recsync.clients.braze import BrazeClient, BrazeRefused, BrazeUnclear, TrackError
from recsync.core.delivery.batches import Batch
from recsync.core.delivery.ledger import Refusal
from recsync.errors import FatalError
from recsync.stages.delivery.journal import Journal

log = logging.getLogger(__name__)

# So many calls in a row without a clear answer, each after all its tries, are an outage and no accident.
OUTAGE_CALLS = 8
# A brake must not stop a small delivery because of a handful of bad records.
MIN_REJECTED = 10
_LOG_SECONDS = 10.0


@dataclass
class Brakes:
    """When a delivery must stop by itself.

    :param max_rejected_share: of the people settled so far.
    :param known: people whom Braze refused the last time, and will again; they do not count.
    """

    max_rejected_share: float
    known: int = 0
    settled: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def note(self, settled: int, rejected: list[Refusal]) -> None:
        """Take in one call.

        :raises FatalError: when too many people were refused.
        """
        self.settled += settled
        self.reasons.update(refusal.reason for refusal in rejected)
        refused = self.reasons.total()
        if refused - self.known > max(MIN_REJECTED, self.max_rejected_share * self.settled):
            raise FatalError(
                f"Braze refused {refused} of the first {self.settled} people, more than max_rejected_share "
                f"({self.max_rejected_share:g}) allows, so nobody else is written. The most frequent reasons: "
                f"{dict(self.reasons.most_common(3))}. Mend the cause, then run the push again."
            )


@dataclass(frozen=True)
class _Unclear:
    """A batch without a clear answer, and how many clear answers there were until then."""

    batch: Batch
    error: BrazeUnclear
    clear: int


class Sender:
    """Sends batches; one per try of a delivery.

    :param objects: how many writes the plan has, for the progress in the log.
    """

    def __init__(self, client: BrazeClient, journal: Journal, brakes: Brakes, *, objects: int) -> None:
        self._client = client
        self._journal = journal
        self._brakes = brakes
        self._objects = objects
        self._unclear: list[_Unclear] = []
        self._unclear_in_a_row = 0
        self._clear = 0
        self._done = 0
        self._logged = time.monotonic()

    async def send(self, batches: Iterator[Batch]) -> None:
        """Send every batch; return when each of its objects is settled.

        :raises RecsyncError: what stops the delivery: an outage (retriable), a refused key, too many rejections.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._client.plan.connections):
                    group.create_task(self._work(batches))
        except BaseExceptionGroup as errors:
            # One reason is what a person can act on; the others are its echo on other connections.
            raise errors.exceptions[0] from None
        for unclear in self._take_unclear():
            await self._isolate(unclear.batch)

    async def _work(self, batches: Iterator[Batch]) -> None:
        # Cutting decodes a chunk now and then, for some milliseconds; a thread of its own would cost more.
        for batch in batches:
            await self._send(batch)

    async def _send(self, batch: Batch) -> None:
        """Send one batch until each object is settled, or put aside as unclear."""
        parts = [batch]
        while parts:
            part = parts.pop()
            try:
                parts.extend(await self._call(part))
            except BrazeUnclear as error:
                self._unclear_in_a_row += 1
                if self._unclear_in_a_row >= OUTAGE_CALLS:
                    raise
                self._unclear.append(_Unclear(part, error, self._clear))

    async def _call(self, batch: Batch) -> tuple[Batch, ...]:
        """Make one call and settle what its answer says; return what has to be sent again, in smaller parts."""
        await self._journal.permit(batch.rows)
        try:
            errors = (await self._client.track_attributes(batch.objects)).errors
        except BrazeRefused as refused:
            self._note_clear()
            return self._refused(batch, refused)
        finally:
            self._journal.finished()
        self._note_clear()
        return self._taken(batch, errors)

    async def _isolate(self, batch: Batch) -> None:
        """Send an unclear batch in ever smaller parts, until what spoils it stands alone."""
        for part in batch.halves() if len(batch.rows) > 1 else (batch,):
            await self._send(part)
        for left in self._take_unclear():
            if len(left.batch.rows) > 1:
                await self._isolate(left.batch)
            # An answer from before says nothing: Braze may have stopped answering since.
            elif self._clear > left.clear or await self._is_answering():
                self._settle((), dead=[Refusal(left.batch.rows[0], str(left.error))])
            else:
                raise left.error

    def _take_unclear(self) -> list[_Unclear]:
        unclear, self._unclear = self._unclear, []
        return unclear

    def _taken(self, batch: Batch, errors: tuple[TrackError, ...]) -> tuple[Batch, ...]:
        """Settle what a 201 says; return what it leaves open."""
        if not errors:
            self._settle(batch.rows)
            return ()
        reasons = _placed(batch, errors)
        rejected = [Refusal(batch.rows[index], reason) for index, reason in reasons.items()]
        others = batch.without(set(reasons))
        # Braze may name one object twice, once per attribute.
        if all(e.index in reasons for e in errors):
            self._settle(others.rows, rejected)
            return ()
        # An error that names nobody may be about any of the others: they are sent again, ever fewer at a time.
        if len(batch.rows) == 1:
            self._settle((), [Refusal(batch.rows[0], errors[0].type)])
            return ()
        self._settle((), rejected)
        return _smaller(others)

    def _refused(self, batch: Batch, refused: BrazeRefused) -> tuple[Batch, ...]:
        """Settle the objects that a refused call names; return the others, or halves when it names none."""
        if len(batch.rows) == 1:
            reason = refused.errors[0].type if refused.errors else str(refused)
            self._settle((), [Refusal(batch.rows[0], reason)])
            return ()
        reasons = _placed(batch, refused.errors)
        if not reasons:
            return batch.halves()
        self._settle((), [Refusal(batch.rows[index], reason) for index, reason in reasons.items()])
        others = batch.without(set(reasons))
        return (others,) if others.rows else ()

    async def _is_answering(self) -> bool:
        """Say whether Braze answers anything at all: nobody is given up in an outage."""
        try:
            # Nobody is in it: Braze refuses it at once, if it is there at all.
            await self._client.track_attributes([])
        except BrazeUnclear:
            return False
        except (BrazeRefused, FatalError):
            return True
        return True

    def _settle(
        self, taken: tuple[int, ...], rejected: list[Refusal] | None = None, dead: list[Refusal] | None = None
    ) -> None:
        rejected, dead = rejected or [], dead or []
        self._journal.settle(taken, rejected, dead)
        self._done += len(taken) + len(rejected) + len(dead)
        if time.monotonic() - self._logged > _LOG_SECONDS:
            self._logged = time.monotonic()
            log.info("Braze: %d of %d writes settled in this try", self._done, self._objects)
        self._brakes.note(len(taken) + len(rejected), rejected)

    def _note_clear(self) -> None:
        self._clear += 1
        self._unclear_in_a_row = 0


def _placed(batch: Batch, errors: tuple[TrackError, ...]) -> dict[int, str]:
    """Give the reason by position, for the errors that name an object of the batch."""
    return {e.index: e.type for e in errors if e.index is not None and 0 <= e.index < len(batch.rows)}


def _smaller(batch: Batch) -> tuple[Batch, ...]:
    return batch.halves() if len(batch.rows) > 1 else (batch,) if batch.rows else ()
