"""Braze's REST verbs that recsync uses, over one transport, one retry policy and one limiter.

What a call can end in:

* a result: Braze answered with a 2xx; :class:`TrackResult` says what of it must be read back
* :class:`BrazeRefused`: 400 or 413, this call's content is at fault
* :class:`BrazeDenied`: 401, 403, 404, 415: key, permission, host or client are at fault
* :class:`BrazeUnclear`: still no clear answer after every try; whole-value writes may be sent again

https://www.braze.com/docs/api/endpoints/user_data/post_user_track/
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit

from braze_client.answers import TrackResult
from braze_client.calls import Calls
from braze_client.errors import BrazeDenied, BrazeRefused, BrazeUnclear, TrackError
from braze_client.limits import Family, Limiters
from braze_client.payloads import Json, dumps
from braze_client.rate_plan import RatePlan
from braze_client.track import BeforeSending, Track
from braze_client.transport import Answer, Transport

__all__ = [
    "MAX_CATALOG_CALL_ITEMS",
    "MAX_DELETE_IDS",
    "MAX_EXPORT_IDS",
    "BrazeClient",
    "BrazeDenied",
    "BrazeRefused",
    "BrazeUnclear",
    "TrackError",
    "TrackResult",
]

# /users/export/ids takes at most 50 ids a call.
MAX_EXPORT_IDS = 50
# /users/delete takes at most 50 ids a call.
MAX_DELETE_IDS = 50
# The asynchronous catalogue calls take at most 50 items.
MAX_CATALOG_CALL_ITEMS = 50


class BrazeClient:
    """Call Braze from one event loop; ``async with`` closes its connections.

    :param transport: where requests go.
    :param workspace: what tells the workspace from others, so that its limits are shared: the REST endpoint.
    :param secret: the API key, cut out of every text that Braze sends back.
    :param plan: what the contract allows.
    :param pace_folder: where the limiter shares what it knows, see :class:`SharedPace`.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        workspace: str,
        secret: str,
        plan: RatePlan | None = None,
        pace_folder: Path | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.plan = plan or RatePlan()
        self._transport = transport
        self._limiters = Limiters(
            f"{workspace} {secret}", self.plan, folder=pace_folder, clock=clock, sleep=sleep
        )
        self._calls = Calls(
            transport,
            self._limiters,
            secret=secret,
            max_tries=self.plan.max_tries,
            clock=clock,
            sleep=sleep,
        )
        self._track = Track(self._calls, self.plan)
        self.answers: Counter[str] = self._calls.answers
        """How many answers came per status ("201", "429", …) or "no answer"; every one is a request made."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.close()
        self._limiters.close()

    async def track_attributes(
        self, objects: Sequence[bytes], before_sending: BeforeSending | None = None
    ) -> TrackResult:
        """Write attribute objects: ``POST /users/track``, or ``/users/track/bulk`` where the plan has it.

        :param objects: each one JSON object; at most ``plan.objects_per_call``, and ``plan.bytes_per_call`` in all.
        :param before_sending: awaited in each try, once the limiter lets it pass.
        :return: what Braze says of each of them, by position in ``objects``.
        """
        return await self._track.attributes(objects, before_sending)

    async def export_users(self, external_ids: Sequence[str], fields: Sequence[str]) -> list[Json]:
        """Read profiles back, at most 50: ``POST /users/export/ids``; unknown ids are left out.

        https://www.braze.com/docs/api/endpoints/export/user_data/post_users_identifier/
        """
        body = dumps({"external_ids": list(external_ids), "fields_to_export": list(fields)})
        document, _ = await self._calls.call(
            Family.EXPORT, "POST", "/users/export/ids", body, confirm=_has_list("users")
        )
        return list(document["users"])

    async def delete_users(self, external_ids: Sequence[str]) -> None:
        """Delete profiles for ever, at most 50: ``POST /users/delete``.

        Applied asynchronously: whatever a 2xx says, only reading the profiles back tells that they are gone.

        https://www.braze.com/docs/api/endpoints/user_data/post_user_delete/
        """
        body = dumps({"external_ids": list(external_ids)})
        await self._calls.exchange(Family.DELETE, "POST", "/users/delete", body, _as_it_is)

    async def catalogs(self) -> dict[str, dict[str, str]]:
        """Return the types of the fields of every catalog, by name: ``GET /catalogs``."""
        document, _ = await self._calls.call(
            Family.CATALOGS, "GET", "/catalogs", None, confirm=_has_list("catalogs")
        )
        return {
            catalog["name"]: {field["name"]: field["type"] for field in catalog.get("fields", [])}
            for catalog in document["catalogs"]
        }

    async def status_of(self, family: Family, method: str, path: str, body: bytes | None) -> int:
        """Make a call whose answer is not read, and return its HTTP status.

        :raises BrazeDenied: on 401, 403, 404 and 415.
        """
        try:
            _, answer = await self._calls.call(family, method, path, body, confirm=lambda _: True)
        except BrazeRefused as refused:
            return refused.status
        return answer.status

    async def create_catalog(self, name: str, fields: Mapping[str, str]) -> None:
        """Create a catalogue with ``id`` first: ``POST /catalogs``.

        :raises BrazeRefused: with an error of type ``catalog-name-already-exists`` when it is there already.
        """
        columns = [{"name": "id", "type": "string"}] + [{"name": n, "type": t} for n, t in fields.items()]
        catalog = {"name": name, "description": "Kept by recsync", "fields": columns}
        await self._calls.exchange(
            Family.CATALOGS, "POST", "/catalogs", dumps({"catalogs": [catalog]}), _as_it_is
        )

    async def put_catalog_items(self, name: str, items: Sequence[Json]) -> None:
        """Create or replace at most 50 items: ``PUT /catalogs/{name}/items``.

        Applied asynchronously: whatever a 2xx says, only reading the items back tells that they are there.
        """
        await self._write_items("PUT", name, items)

    async def delete_catalog_items(self, name: str, item_ids: Sequence[str]) -> None:
        """Delete at most 50 items: ``DELETE /catalogs/{name}/items``; applied asynchronously."""
        await self._write_items("DELETE", name, [{"id": item_id} for item_id in item_ids])

    async def catalog_item(self, name: str, item_id: str) -> Json | None:
        """Read one item: ``GET /catalogs/{name}/items/{id}``; None when the catalogue has no such item."""
        path = f"{_items_path(name)}/{quote(item_id, safe='')}"
        try:
            document, _ = await self._calls.call(
                Family.CATALOG_READS, "GET", path, None, confirm=_has_list("items")
            )
        except BrazeDenied as denied:
            if denied.status == 404 and any(error.type == "item-not-found" for error in denied.errors):
                return None
            raise
        return next(iter(document["items"]), None)

    async def catalog_items(self, name: str) -> AsyncIterator[Json]:
        """Read every item, 50 a call and 50 calls a minute: ``GET /catalogs/{name}/items``."""
        path: str | None = _items_path(name)
        while path:
            document, answer = await self._calls.call(
                Family.CATALOG_READS, "GET", path, None, confirm=_has_list("items")
            )
            for item in document["items"]:
                yield item
            path = _next_path(answer)

    async def _write_items(self, method: str, name: str, items: Sequence[Json]) -> None:
        body = dumps({"items": list(items)})
        await self._calls.exchange(Family.CATALOG_ITEMS, method, _items_path(name), body, _as_it_is)


def _as_it_is(answer: Answer) -> Answer:
    return answer


def _items_path(name: str) -> str:
    return f"/catalogs/{quote(name, safe='')}/items"


def _has_list(key: str) -> Callable[[Json], bool]:
    return lambda document: isinstance(document.get(key), list)


def _next_path(answer: Answer) -> str | None:
    """Return path and query of the next page; the host stays ours, so that the key goes nowhere else."""
    for link in answer.headers.get("link", "").split(","):
        target, _, parameters = link.strip().partition(">")
        if target.startswith("<") and 'rel="next"' in parameters.replace(" ", ""):
            url = urlsplit(target[1:])
            return f"{url.path}?{url.query}"
    return None
