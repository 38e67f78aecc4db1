"""Write attributes: one call where Braze takes it, several where a contract has no bulk endpoint after all.

https://www.braze.com/docs/api/endpoints/user_data/post_user_track/
https://www.braze.com/docs/api/endpoints/user_data/post_user_track_bulk/
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from braze_client.answers import TrackResult, document_of, errors_without_values, read_track
from braze_client.calls import Calls
from braze_client.errors import BrazeDenied, BrazeRefused, TrackError
from braze_client.limits import Family
from braze_client.rate_plan import RatePlan
from braze_client.transport import Answer

BeforeSending = Callable[[], Awaitable[None]]

log = logging.getLogger(__name__)


class Track:
    """Send attribute objects to the endpoint that the plan names.

    :param calls: to Braze.
    :param plan: of the contract.
    """

    def __init__(self, calls: Calls, plan: RatePlan) -> None:
        self._calls = calls
        self._plan = plan
        self._bulk = plan.bulk

    async def attributes(
        self, objects: Sequence[bytes], before_sending: BeforeSending | None = None
    ) -> TrackResult:
        """Send the objects; what is said of them is placed in this sequence."""
        if self._bulk:
            try:
                return await self._send(Family.TRACK_BULK, "/users/track/bulk", objects, before_sending)
            except BrazeDenied as denied:
                if denied.status not in (403, 404):
                    raise
                self._give_up_bulk(denied)
        if not self._plan.bulk:
            return await self._send(Family.TRACK, "/users/track", objects, before_sending)
        return await self._send_in_chunks(objects, before_sending)

    def _give_up_bulk(self, denied: BrazeDenied) -> None:
        if self._bulk:  # calls that were under way hear the same
            log.warning(
                "Braze refuses /users/track/bulk (HTTP %d): recsync goes on with /users/track. Take bulk out of the "
                "connection's extra, or use a key with the permission users.track.bulk.",
                denied.status,
            )
        self._bulk = False

    async def _send_in_chunks(
        self, objects: Sequence[bytes], before_sending: BeforeSending | None
    ) -> TrackResult:
        results: list[TrackResult] = []
        size = self._plan.max_objects
        # A call with nobody in it is made too: its caller wants to know whether Braze answers.
        for start in range(0, max(len(objects), 1), size):
            chunk = objects[start : start + size]
            results.append((await self._send_chunk(chunk, start, before_sending)).moved(start))
        open_results = [result for result in results if not result.is_clear]
        return TrackResult(
            rejected={index: reason for result in results for index, reason in result.rejected.items()},
            named={index: reason for result in results for index, reason in result.named.items()},
            unnamed=frozenset().union(*(result.unnamed for result in results)),
            why=next((result.why for result in open_results), ""),
            is_readable=any(result.is_readable for result in results),
        )

    async def _send_chunk(
        self, chunk: Sequence[bytes], start: int, before_sending: BeforeSending | None
    ) -> TrackResult:
        try:
            return await self._send(Family.TRACK, "/users/track", chunk, before_sending)
        except BrazeRefused as refused:
            named = {error.index: error.type for error in refused.errors if error.index is not None}
            if named.keys() == set(range(len(chunk))):
                return TrackResult(rejected=named)
            # Nothing of this chunk was taken although only some of it was named: the caller sends the rest again.
            moved = tuple(_moved(error, start, len(chunk)) for error in refused.errors)
            raise BrazeRefused(str(refused), status=refused.status, errors=moved) from None

    async def _send(
        self, family: Family, path: str, objects: Sequence[bytes], before_sending: BeforeSending | None
    ) -> TrackResult:
        count = len(objects)
        usual = b'{"attributes_processed":%d,"message":"success"}' % count

        body = b'{"attributes":[' + b",".join(objects) + b"]}"

        def read(answer: Answer) -> TrackResult:
            if answer.status == 201 and answer.body == usual:
                return TrackResult()
            return read_track(errors_without_values(document_of(answer), path, body), count)

        return await self._calls.exchange(family, "POST", path, body, read, before_sending)


def _moved(error: TrackError, by: int, objects: int) -> TrackError:
    # An index beyond its own call names nobody, least of all somebody of the next one.
    is_placed = error.index is not None and 0 <= error.index < objects
    return replace(error, index=error.index + by if is_placed and error.index is not None else None)
