"""The Braze REST endpoints that recsync uses, over one transport, one retry policy and one limiter per family.

What a call can end in:

* a result: Braze answered with a 2xx; :class:`TrackResult` says what of it must be read back
* :class:`BrazeRefused`: 400 or 413, this call's content is at fault
* :class:`BrazeDenied`: 401, 403, 404, 415: key, permission, host or client are at fault
* :class:`BrazeUnclear`: still no clear answer after every try; whole-value writes may be sent again
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit

from braze_client.answers import TrackResult, document_of, errors_without_values, read_track
from braze_client.calls import BeforeSending, Calls
from braze_client.errors import BrazeDenied, BrazeRefused, BrazeUnclear, TrackError
from braze_client.identifiers import EXTERNAL_ID, Identifier
from braze_client.limits import Limiters
from braze_client.payloads import Json, dumps, joined
from braze_client.rate_plan import Family, RatePlan
from braze_client.transport import AiohttpTransport, Answer

log = logging.getLogger(__name__)


class Track:
    """Send attribute objects: to ``/users/track/bulk`` where plan and key have it, else to ``/users/track``.

    https://www.braze.com/docs/api/endpoints/user_data/post_user_track/
    https://www.braze.com/docs/api/endpoints/user_data/post_user_track_bulk/
    """

    def __init__(self, calls: Calls, plan: RatePlan) -> None:
        self._calls = calls
        self._plan = plan
        self._bulk = plan.bulk

    async def attributes(
        self, objects: Sequence[bytes], before_sending: BeforeSending | None = None
    ) -> TrackResult:
        """Send the objects; errors refer to positions in this sequence."""
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
        # An empty call is sent too: it checks the key and the connection.
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
        body = b'{"attributes":[%b]}' % joined(objects)

        def read(answer: Answer) -> TrackResult:
            if answer.status == 201 and answer.body == usual:
                return TrackResult()
            return read_track(errors_without_values(document_of(answer), path, body), count)

        return await self._calls.call(family, "POST", path, body, read, before_sending)


def _moved(error: TrackError, by: int, objects: int) -> TrackError:
    # Ignore an error index outside this request.
    is_placed = error.index is not None and 0 <= error.index < objects
    return replace(error, index=error.index + by if is_placed and error.index is not None else None)


# /users/delete takes at most 50 ids a call.
MAX_DELETE_IDS = 50


# A harmless call per permission; {} is a catalog. Braze checks the key's permission before it looks at the body, so an
# empty body is answered with 403 when the permission is missing, and with 400 when it is there.
# https://www.braze.com/docs/api/basics/#rest-api-key-permissions
PERMISSION_CALLS: dict[str, tuple[Family, str, str, Json | None]] = {
    "users.track": (Family.TRACK, "POST", "/users/track", {"attributes": []}),
    "users.export.ids": (Family.EXPORT, "POST", "/users/export/ids", {"external_ids": []}),
    "users.delete": (Family.DELETE, "POST", "/users/delete", {"external_ids": []}),
    "catalogs.get": (Family.CATALOGS, "GET", "/catalogs", None),
    "catalogs.create": (Family.CATALOGS, "POST", "/catalogs", {"catalogs": []}),
    "catalogs.get_items": (Family.CATALOG_READS, "GET", "/catalogs/{}/items", None),
    "catalogs.get_item": (Family.CATALOG_READS, "GET", "/catalogs/{}/items/recsync-preflight", None),
    "catalogs.replace_items": (Family.CATALOG_ITEMS, "PUT", "/catalogs/{}/items", {"items": []}),
    "catalogs.delete_items": (Family.CATALOG_ITEMS, "DELETE", "/catalogs/{}/items", {"items": []}),
}


class BrazeClient:
    """Call Braze from one event loop; ``async with`` closes its connections.

    :param transport: where requests go.
    :param workspace: what tells the workspace from others, so that its limits are shared: the REST endpoint.
    :param secret: the API key, cut out of every text that Braze sends back.
    :param plan: what the contract allows.
    :param pace_folder: where the limiter shares what it knows on this machine, see :class:`FilePace`.
    :param pace_redis_url: the Redis through which it shares that with other machines; None: it does not.
    """

    def __init__(
        self,
        transport: AiohttpTransport,
        *,
        workspace: str,
        secret: str,
        plan: RatePlan | None = None,
        pace_folder: Path | None = None,
        pace_redis_url: str | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.plan = plan or RatePlan()
        self._transport = transport
        self._limiters = Limiters(
            f"{workspace} {secret}",
            self.plan,
            folder=pace_folder,
            redis_url=pace_redis_url,
            clock=clock,
            sleep=sleep,
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
        await self._limiters.close()

    async def track_attributes(
        self, objects: Sequence[bytes], before_sending: BeforeSending | None = None
    ) -> TrackResult:
        """Write attribute objects: ``POST /users/track``, or ``/users/track/bulk`` where the plan has it.

        :param objects: each one JSON object; at most ``plan.objects_per_call``, and ``plan.bytes_per_call`` in all.
        :param before_sending: awaited in each try, once the limiter lets it pass.
        :returns: what Braze says of each of them, by position in ``objects``.
        """
        return await self._track.attributes(objects, before_sending)

    async def export_users(
        self, people: Sequence[str], fields: Sequence[str], by: Identifier = EXTERNAL_ID
    ) -> list[Json]:
        """Read profiles back: ``POST /users/export/ids``; unknown people are missing in the result.

        :param people: at most ``by.per_export``. Several profiles may have one address or number.

        https://www.braze.com/docs/api/endpoints/export/user_data/post_users_identifier/
        """
        body = dumps({**by.export_of(people), "fields_to_export": list(fields)})
        document = await self._calls.call(
            Family.EXPORT, "POST", "/users/export/ids", body, _with_list("users")
        )
        return list(document["users"])

    async def delete_users(self, people: Sequence[str], by: Identifier = EXTERNAL_ID) -> None:
        """Delete profiles for ever, at most 50: ``POST /users/delete``.

        Applied asynchronously: whatever a 2xx says, only reading the profiles back tells that they are gone.

        https://www.braze.com/docs/api/endpoints/user_data/post_user_delete/
        """
        body = dumps(by.delete_of(people))
        await self._calls.call(Family.DELETE, "POST", "/users/delete", body, _as_it_is)

    async def catalogs(self) -> dict[str, dict[str, str]]:
        """Return the types of the fields of every catalog, by name: ``GET /catalogs``."""
        document = await self._calls.call(Family.CATALOGS, "GET", "/catalogs", None, _with_list("catalogs"))
        return {
            catalog["name"]: {field["name"]: field["type"] for field in catalog.get("fields", [])}
            for catalog in document["catalogs"]
        }

    async def missing_permissions(
        self, permissions: Iterable[str], *, catalog: str = ""
    ) -> tuple[list[str], list[str]]:
        """Try each permission by a call that changes nothing.

        :param permissions: among those of ``PERMISSION_CALLS``.
        :param catalog: name of the catalog that the calls are about, whether it exists or not.
        :returns: the permissions that the key lacks, and those without a clear answer.
        :raises BrazeDenied: when Braze does not know the key, or the host is no REST endpoint of Braze.
        """
        names = list(permissions)
        statuses = await asyncio.gather(*(self._status(name, quote(catalog, safe="")) for name in names))
        found = list(zip(names, statuses, strict=True))
        return [name for name, status in found if status == 403], [n for n, status in found if status is None]

    async def _status(self, permission: str, catalog: str) -> int | None:
        family, method, path, content = PERMISSION_CALLS[permission]
        body = None if content is None else dumps(content)
        try:
            return await self._calls.call(family, method, path.format(catalog), body, _status_of_json)
        except BrazeUnclear:
            return None
        except BrazeRefused as refused:
            return refused.status
        except BrazeDenied as denied:
            # The other calls are answered with 404 when their catalog or item does not exist.
            about_host = denied.status == 404 and permission in {"users.track", "catalogs.get"}
            if denied.status == 401 or about_host:
                raise
            return denied.status

    async def create_catalog(self, name: str, fields: Mapping[str, str]) -> None:
        """Create a catalog with ``id`` first: ``POST /catalogs``.

        :raises BrazeRefused: with an error of type ``catalog-name-already-exists`` when it is there already.
        """
        columns = [{"name": "id", "type": "string"}] + [{"name": n, "type": t} for n, t in fields.items()]
        catalog = {"name": name, "description": "Kept by recsync", "fields": columns}
        await self._calls.call(
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
        """Read one item: ``GET /catalogs/{name}/items/{id}``; None when the catalog has no such item."""
        path = f"{_items_path(name)}/{quote(item_id, safe='')}"
        try:
            document = await self._calls.call(Family.CATALOG_READS, "GET", path, None, _with_list("items"))
        except BrazeDenied as denied:
            if denied.status == 404 and any(error.type == "item-not-found" for error in denied.errors):
                return None
            raise
        return next(iter(document["items"]), None)

    async def catalog_items(self, name: str) -> AsyncIterator[Json]:
        """Read every item, 50 a call and 50 calls a minute: ``GET /catalogs/{name}/items``."""
        path: str | None = _items_path(name)
        while path:
            items, path = await self._calls.call(Family.CATALOG_READS, "GET", path, None, _page)
            for item in items:
                yield item

    async def _write_items(self, method: str, name: str, items: Sequence[Json]) -> None:
        body = dumps({"items": list(items)})
        await self._calls.call(Family.CATALOG_ITEMS, method, _items_path(name), body, _as_it_is)


def _as_it_is(answer: Answer) -> Answer:
    return answer


def _items_path(name: str) -> str:
    return f"/catalogs/{quote(name, safe='')}/items"


def _with_list(key: str) -> Callable[[Answer], Json | None]:
    def read(answer: Answer) -> Json | None:
        document = document_of(answer)
        return document if document and isinstance(document.get(key), list) else None

    return read


def _page(answer: Answer) -> tuple[list[Json], str | None] | None:
    document = _with_list("items")(answer)
    return None if document is None else (document["items"], _next_path(answer))


def _status_of_json(answer: Answer) -> int | None:
    return None if document_of(answer) is None else answer.status


def _next_path(answer: Answer) -> str | None:
    """Return path and query of the next page; the host stays ours, so that the key goes nowhere else."""
    for link in answer.headers.get("link", "").split(","):
        target, _, parameters = link.strip().partition(">")
        if target.startswith("<") and 'rel="next"' in parameters.replace(" ", ""):
            url = urlsplit(target[1:])
            return f"{url.path}?{url.query}"
    return None
