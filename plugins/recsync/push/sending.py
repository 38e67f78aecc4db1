"""Send planned writes to Braze over many connections, and settle each by Braze's response or by reading it back.

* taken: a 2xx that does not name the object
* rejected: Braze named the object, or refused it when it was sent alone
* read back: a 2xx that contradicts itself or is not Braze's. Users who have the value were taken, users who were named
  and have nothing of it are rejected, and the others are sent again in smaller batches
* given up (dead letter): no clear response for this object alone although Braze answered others
* still open: the delivery stopped first; the next try sends it again

https://www.braze.com/docs/api/endpoints/user_data/post_user_track/
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from braze_client.answers import TrackResult
from braze_client.client import BrazeClient
from braze_client.errors import BrazeDenied, BrazeRefused, BrazeUnclear
from braze_client.identifiers import EXTERNAL_ID, MAX_EXPORT_IDS, Identifier
from recsync.errors import FATAL, FatalError
from recsync.formatting import percent
from recsync.push.accounts import UNKNOWN_TO_BRAZE, is_unknown
from recsync.push.ledger import Refusal
from recsync.push.read_back import Shown, drifted
from recsync.push.rendering import object_fingerprints
from recsync.push.write_ahead_log import WriteAheadLog
from recsync.push.writes import Batch

log = logging.getLogger(__name__)

# This many calls in a row without a response of Braze, each after all its tries, are an outage.
OUTAGE_CALLS = 8
# Tries of an object alone when the response is not Braze's JSON; then it is given up.
_UNREADABLE_TRIES = 3
# So few bad records never stop a delivery.
MIN_REJECTED = 10
_LOG_SECONDS = 10.0
_NO_ANSWERS = (
    "/users/track is answered with 2xx, but not with JSON of Braze's, and Braze shows nothing of what was sent. "
    "Probably a proxy or a login page answers instead: look at the host of the Braze connection and at the way there. "
    "Nothing is counted as sent; the next try sends it again."
)


@dataclass
class CircuitBreaker:
    """Stops a delivery when Braze refuses too many users.

    :param max_rejected_share: of the users settled so far.
    :param known: users that Braze refused in the last delivery, and will again; they do not count.
    """

    max_rejected_share: float
    known: int = 0
    settled: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def note(self, settled: int, rejected: list[Refusal]) -> None:
        """Count one call; users unknown to Braze do not count as refused.

        :raises FatalError: when too many users were refused.
        """
        self.settled += settled
        self.reasons.update(refusal.reason for refusal in rejected if not is_unknown(refusal.reason))
        refused = self.reasons.total()
        if refused - self.known > max(MIN_REJECTED, self.max_rejected_share * self.settled):
            raise FatalError(
                f"Braze refused {refused} of the first {self.settled} people, more than max_rejected_share "
                f"({percent(self.max_rejected_share)}) allows, so nobody else is written. The most frequent reasons: "
                f"{dict(self.reasons.most_common(3))}. Mend the cause, then run the push again."
            )


@dataclass(frozen=True)
class _Unclear:
    """A batch without a clear response, and the number of clear responses before it."""

    batch: Batch
    error: BrazeUnclear
    clear: int


@dataclass(frozen=True)
class _Doubt:
    """The objects of one call that its response leaves open.

    :param named: reason by row, of those that an error names.
    :param why: why the others are open.
    :param is_alone: whether the call had one object.
    :param is_readable: whether the response was Braze's at all.
    """

    batch: Batch
    named: Mapping[int, str]
    why: str
    is_alone: bool
    is_readable: bool


class Sender:
    """Sends batches; one per try of a delivery.

    :param objects: how many writes the plan has, for the progress in the log.
    :param by: how the objects name the people.
    """

    def __init__(
        self,
        client: BrazeClient,
        journal: WriteAheadLog,
        brakes: CircuitBreaker,
        *,
        objects: int,
        by: Identifier = EXTERNAL_ID,
    ) -> None:
        self._client = client
        self._by = by
        self._journal = journal
        self._brakes = brakes
        self._objects = objects
        self._unclear: list[_Unclear] = []
        self._doubts: list[_Doubt] = []
        self._unclear_in_a_row = 0
        self._unreadable_in_a_row = 0
        # Whether values were found in Braze after an unreadable 2xx.
        self._unreadable_means_taken = False
        self._unreadable_alone: Counter[int] = Counter()
        self._judging = asyncio.Lock()
        self._clear = 0
        self._done = 0
        self._logged = time.monotonic()

    async def send(self, batches: Iterator[Batch]) -> None:
        """Send every batch; return when each of its objects is settled.

        :raises RecsyncError: what stops the delivery: an outage (retriable), a refused key, too many rejections.
        """
        await self._send_all(batches)
        while self._doubts:
            await self._send_all(iter(await self._resolve()))

    async def _send_all(self, batches: Iterator[Batch]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._client.plan.connections):
                    group.create_task(self._work(batches))
        except BaseExceptionGroup as errors:
            # The same cause fails the other connections too; one error is enough.
            raise errors.exceptions[0] from None
        for unclear in self._take_unclear():
            await self._isolate(unclear.batch)

    async def _work(self, batches: Iterator[Batch]) -> None:
        # Decoding the next chunk takes some milliseconds now and then; a thread would cost more.
        for batch in batches:
            await self._send(batch)

    async def _send(self, batch: Batch) -> None:
        """Send one batch until each object is settled, or put aside as unclear."""
        parts = [batch]
        while parts:
            parts.extend(await self._call(parts.pop()))

    async def _call(self, batch: Batch) -> tuple[Batch, ...]:
        """Make one call and settle its objects; return the smaller batches that must be sent again."""
        try:
            result = await self._client.track_attributes(
                batch.objects, before_sending=lambda: self._journal.reserve(batch.rows)
            )
        except BrazeRefused as refused:
            self._note_clear()
            return self._refused(batch, refused)
        except BrazeUnclear as error:
            self._unclear_in_a_row += 1
            if self._unclear_in_a_row >= OUTAGE_CALLS:
                raise
            self._unclear.append(_Unclear(batch.without(()), error, self._clear))
            return ()
        self._answered(batch, result)
        if result.is_readable:
            self._note_clear()
        elif not self._unreadable_means_taken:
            await self._note_unreadable()
        return ()

    async def _isolate(self, batch: Batch) -> None:
        """Bisect a batch without a clear response until the bad record is isolated."""
        for part in batch.halves() if len(batch.rows) > 1 else (batch,):
            await self._send(part)
        for left in self._take_unclear():
            if len(left.batch.rows) > 1:
                await self._isolate(left.batch)
            # Only a response after this call counts: Braze may have stopped answering since.
            elif self._clear > left.clear or await self._is_answering():
                self._settle((), dead=[Refusal(left.batch.rows[0], str(left.error))])
            else:
                raise left.error

    def _take_unclear(self) -> list[_Unclear]:
        unclear, self._unclear = self._unclear, []
        return unclear

    def _answered(self, batch: Batch, result: TrackResult) -> None:
        """Settle the objects that a 2xx is clear about, and put the others aside."""
        rejected = [Refusal(batch.rows[index], reason) for index, reason in result.rejected.items()]
        if result.is_clear:
            self._settle(batch.without(result.rejected).rows if rejected else batch.rows, rejected)
            return
        left = sorted(result.unnamed.union(result.named))
        self._settle(batch.without({*left, *result.rejected}).rows, rejected)
        named = {batch.rows[index]: reason for index, reason in result.named.items()}
        alone = len(batch.rows) == 1
        self._doubts.append(_Doubt(batch.only(left), named, result.why, alone, result.is_readable))

    async def _note_unreadable(self) -> None:
        """Stop when something else answers for Braze, such as the login page of a proxy.

        :raises BrazeUnclear: when Braze shows none of what such responses were for.
        """
        self._unreadable_in_a_row += 1
        if self._unreadable_in_a_row < OUTAGE_CALLS:
            return
        async with self._judging:
            if self._unreadable_means_taken or self._unreadable_in_a_row < OUTAGE_CALLS:
                return
            batches = [doubt.batch for doubt in self._doubts if not doubt.is_readable]
            objects = [rendered for batch in batches for rendered in batch.objects[:MAX_EXPORT_IDS]]
            shown = await self._shown(objects[:MAX_EXPORT_IDS])
            if shown is None or not any(value is None for value in shown.values()):
                raise BrazeUnclear(_NO_ANSWERS)
            self._unreadable_means_taken = True

    async def _resolve(self) -> list[Batch]:
        """Read back what responses left open, and settle it; return the batches that must be sent again.

        :raises BrazeUnclear: when no response was Braze's, and no value sent is in Braze.
        """
        doubts, self._doubts = self._doubts, []
        objects = [rendered for doubt in doubts for rendered in doubt.batch.objects]
        log.warning(
            "Braze's answers to %d calls contradict themselves or cannot be read: %d people are read back",
            len(doubts), len(objects),
        )  # fmt: skip
        shown = await self._shown(objects)
        unreadable = [doubt for doubt in doubts if not doubt.is_readable]
        if unreadable and not self._unreadable_means_taken:
            found = shown or {}
            self._unreadable_means_taken = any(
                found.get(rendered, Shown.NOTHING) is None
                for doubt in unreadable
                for rendered in doubt.batch.objects
            )
            if not self._unreadable_means_taken and not await self._is_answering():
                raise BrazeUnclear(_NO_ANSWERS)
        return [part for doubt in doubts for part in self._decided(doubt, shown)]

    async def _shown(self, objects: Sequence[bytes]) -> dict[bytes, Shown | None] | None:
        """Read users back: by object, None for a user who has its values. Return None when the key may not read."""
        expected = {rendered: object_fingerprints(rendered) for rendered in objects}
        try:
            left = await drifted(self._client, dict(expected.values()), self._by)
        except BrazeDenied as denied:
            log.warning("People cannot be read back: %s", denied)
            return None
        return {rendered: left.get(person) for rendered, (person, _) in expected.items()}

    def _decided(self, doubt: _Doubt, shown: Mapping[bytes, Shown | None] | None) -> tuple[Batch, ...]:
        """Settle the objects of one call by what Braze shows; return the batches that must be sent again."""
        taken, rejected, dead, again = [], list[Refusal](), list[Refusal](), list[int]()
        for index, (row, rendered) in enumerate(zip(doubt.batch.rows, doubt.batch.objects, strict=True)):
            found = Shown.PART if shown is None else shown[rendered]
            reason = doubt.named.get(row, doubt.why)
            if found is None:
                taken.append(row)
            elif found is Shown.NOBODY and b'"_update_existing_only":true' in rendered:
                rejected.append(Refusal(row, UNKNOWN_TO_BRAZE))
            elif row not in doubt.named and (not doubt.is_alone or self._may_try_again(doubt)):
                again.append(index)
            # A partly written value is unknown, so that the next delivery writes it again.
            elif found is Shown.PART or not doubt.is_readable:
                dead.append(Refusal(row, reason))
            else:
                rejected.append(Refusal(row, reason))
        self._settle(taken, rejected, dead)
        left = doubt.batch.only(again)
        if len(again) < len(doubt.batch.rows):
            return (left,) if again else ()
        return left.halves() if len(again) > 1 else (left,)

    def _refused(self, batch: Batch, refused: BrazeRefused) -> tuple[Batch, ...]:
        """Settle the objects that a refused call names; return the others, or halves when it names none."""
        if len(batch.rows) == 1:
            reason = refused.errors[0].type if refused.errors else str(refused)
            self._settle((), [Refusal(batch.rows[0], reason)])
            return ()
        # Ignore an error index outside this request.
        reasons = {
            e.index: e.type for e in refused.errors if e.index is not None and 0 <= e.index < len(batch.rows)
        }
        if not reasons:
            return batch.halves()
        self._settle((), [Refusal(batch.rows[index], reason) for index, reason in reasons.items()])
        others = batch.without(set(reasons))
        return (others,) if others.rows else ()

    def _may_try_again(self, doubt: _Doubt) -> bool:
        """Allow a few unreadable responses to a call with one object."""
        if doubt.is_readable:
            return False
        self._unreadable_alone.update(doubt.batch.rows)
        return self._unreadable_alone[doubt.batch.rows[0]] < _UNREADABLE_TRIES

    async def _is_answering(self) -> bool:
        """Return whether Braze answers at all: no object is given up in an outage."""
        try:
            # An empty call, which Braze refuses at once.
            return (await self._client.track_attributes([])).is_readable
        except BrazeUnclear:
            return False
        except (BrazeRefused, *FATAL):
            return True

    def _settle(
        self, taken: Sequence[int], rejected: list[Refusal] | None = None, dead: list[Refusal] | None = None
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
        self._unclear_in_a_row = self._unreadable_in_a_row = 0
