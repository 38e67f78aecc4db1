"""Write attributes: one call where Braze takes it, several where a contract has no bulk endpoint after all.

https://www.braze.com/docs/api/endpoints/user_data/post_user_track/
https://www.braze.com/docs/api/endpoints/user_data/post_user_track_bulk/
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from recsync.clients.braze_answers import (
    BrazeDenied,
    BrazeRefused,
    TrackError,
    TrackResult,
    errors_of,
    is_accepted_track,
)
from recsync.clients.braze_calls import Calls
from recsync.clients.braze_limits import Family
from recsync.clients.braze_plan import RatePlan

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

    async def attributes(self, objects: Sequence[bytes]) -> TrackResult:
        """Send the objects; errors are placed in this sequence."""
        if self._bulk:
            try:
                return await self._send(Family.TRACK_BULK, "/users/track/bulk", objects)
            except BrazeDenied as denied:
                if denied.status not in (403, 404):
                    raise
                self._give_up_bulk(denied)
        if not self._plan.bulk:
            return await self._send(Family.TRACK, "/users/track", objects)
        return await self._send_in_chunks(objects)

    def _give_up_bulk(self, denied: BrazeDenied) -> None:
        if self._bulk:  # calls that were under way hear the same
            log.warning(
                "Braze refuses /users/track/bulk (HTTP %d): recsync goes on with /users/track. Take bulk out of the "
                "connection's extra, or use a key with the permission users.track.bulk.",
                denied.status,
            )
        self._bulk = False

    async def _send_in_chunks(self, objects: Sequence[bytes]) -> TrackResult:
        errors: list[TrackError] = []
        size = self._plan.max_objects
        # A call with nobody in it is made too: its caller wants to know whether Braze answers.
        for start in range(0, max(len(objects), 1), size):
            chunk = objects[start : start + size]
            errors += [_moved(error, start, len(chunk)) for error in await self._send_chunk(chunk, start)]
        return TrackResult(tuple(errors))

    async def _send_chunk(self, chunk: Sequence[bytes], start: int) -> tuple[TrackError, ...]:
        try:
            return (await self._send(Family.TRACK, "/users/track", chunk)).errors
        except BrazeRefused as refused:
            named = {error.index for error in refused.errors}
            if named == set(range(len(chunk))):
                return refused.errors
            # Nothing of this chunk was taken although only some of it was named: the caller sends the rest again.
            moved = tuple(_moved(error, start, len(chunk)) for error in refused.errors)
            raise BrazeRefused(str(refused), status=refused.status, errors=moved) from None

    async def _send(self, family: Family, path: str, objects: Sequence[bytes]) -> TrackResult:
        count = len(objects)
        document, _ = await self._calls.call(
            family,
            "POST",
            path,
            b'{"attributes":[' + b",".join(objects) + b"]}",
            confirm=lambda document: is_accepted_track(document, count),
            success=b'{"attributes_processed":%d,"message":"success"}' % count,
        )
        return TrackResult(errors_of(document))


def _moved(error: TrackError, by: int, objects: int) -> TrackError:
    # An index beyond its own call names nobody, least of all somebody of the next one.
    is_placed = error.index is not None and 0 <= error.index < objects
    return replace(error, index=error.index + by if is_placed and error.index is not None else None)
