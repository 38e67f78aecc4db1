"""Find out what a Braze REST API key may do, by calls that change nothing.

Braze checks the key's permission before it looks at the body, so a call with an empty body is answered with 403 when
the permission is missing, and with 400 when it is there.

https://www.braze.com/docs/api/basics/#rest-api-key-permissions
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from braze_client.client import BrazeClient
from braze_client.errors import BrazeDenied, BrazeUnclear
from braze_client.limits import Family
from braze_client.payloads import dumps

_UNAUTHORIZED, FORBIDDEN, _NOT_FOUND = 401, 403, 404


@dataclass(frozen=True)
class _Call:
    """A harmless call that needs one permission; ``{}`` in its path is a catalog."""

    family: Family
    method: str
    path: str
    body: Any = None


_ITEMS = "/catalogs/{}/items"
_CALLS = {
    "users.track": _Call(Family.TRACK, "POST", "/users/track", {"attributes": []}),
    "users.export.ids": _Call(Family.EXPORT, "POST", "/users/export/ids", {"external_ids": []}),
    "users.delete": _Call(Family.DELETE, "POST", "/users/delete", {"external_ids": []}),
    "catalogs.get": _Call(Family.CATALOGS, "GET", "/catalogs"),
    "catalogs.create": _Call(Family.CATALOGS, "POST", "/catalogs", {"catalogs": []}),
    "catalogs.get_items": _Call(Family.CATALOG_READS, "GET", _ITEMS),
    "catalogs.get_item": _Call(Family.CATALOG_READS, "GET", _ITEMS + "/recsync-preflight"),
    "catalogs.replace_items": _Call(Family.CATALOG_ITEMS, "PUT", _ITEMS, {"items": []}),
    "catalogs.delete_items": _Call(Family.CATALOG_ITEMS, "DELETE", _ITEMS, {"items": []}),
}


async def missing_permissions(
    client: BrazeClient, permissions: Iterable[str], *, catalog: str = ""
) -> tuple[list[str], list[str]]:
    """Try each permission.

    :param permissions: among those of the table.
    :param catalog: name of the catalog that the calls are about, whether it is there or not.
    :returns: the permissions that the key lacks, and those of which Braze said nothing.
    :raises BrazeDenied: when Braze does not know the key, or the host is no REST endpoint of Braze.
    """
    asked = list(permissions)
    answers = await asyncio.gather(*(_status(client, name, catalog) for name in asked))
    statuses = dict(zip(asked, answers, strict=True))
    denied = [name for name, status in statuses.items() if status == FORBIDDEN]
    silent = [name for name, status in statuses.items() if status is None]
    return denied, silent


async def _status(client: BrazeClient, permission: str, catalog: str) -> int | None:
    call = _CALLS[permission]
    body = None if call.body is None else dumps(call.body)
    path = call.path.format(quote(catalog, safe=""))
    try:
        return await client.status_of(call.family, call.method, path, body)
    except BrazeUnclear:
        return None
    except BrazeDenied as denied:
        # Of the other calls a catalog or an item that is not there answers so too.
        about_host = denied.status == _NOT_FOUND and permission in {"users.track", "catalogs.get"}
        if denied.status == _UNAUTHORIZED or about_host:
            raise
        return denied.status
