"""Answer the catalog endpoints: definitions at once, items after the apply delay.

https://www.braze.com/docs/api/endpoints/catalogs
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import sqlite3
import time

import msgspec

from braze_local.catalog_definitions import Definition, definition_of
from braze_local.catalog_errors import CatalogError, catalog_not_found
from braze_local.catalog_items import checked_ids, checked_items
from braze_local.profiles import timestamp
from braze_local.reader import Catalog
from braze_local.sandbox import Sandbox
from braze_local.wire import Request, Response, json_response, message

# Braze: items per page of GET /catalogs/{name}/items.
PAGE_ITEMS = 50


def list_catalogs(sandbox: Sandbox, _request: Request) -> Response:
    """Return every catalogue with its fields and number of items."""
    listed = [
        {
            "name": catalog.name,
            "description": catalog.description,
            "num_items": sandbox.reader.item_count(catalog.id),
            "updated_at": catalog.updated_at,
            "fields": [{"name": name, "type": kind} for name, kind in catalog.fields.items()],
        }
        for catalog in sandbox.catalogs.values()
    ]
    return json_response(200, {"catalogs": listed, "message": "success"})


async def create_catalog(sandbox: Sandbox, request: Request) -> Response:
    """Create one catalogue. Raises CatalogError."""
    definition = definition_of(request.json())
    try:
        await asyncio.wrap_future(sandbox.writer.run(lambda connection: _insert(connection, definition)))
    except sqlite3.IntegrityError:
        raise CatalogError(
            "catalog-name-already-exists",
            "A catalog with this name already exists",
            parameters=["name"],
            values=[definition.name],
        ) from None
    sandbox.reload_catalogs()
    return message(201, "success")


async def delete_catalog(sandbox: Sandbox, request: Request) -> Response:
    """Delete a catalogue and its items. Raises CatalogError."""
    catalog = catalog_of(sandbox, request)
    await asyncio.wrap_future(sandbox.writer.run(lambda connection: _remove(connection, catalog.id)))
    sandbox.reload_catalogs()
    return message(200, "success")


def write_items(sandbox: Sandbox, request: Request) -> Response:
    """Take PUT (upsert whole rows), POST (create) or PATCH (edit existing), all items or none.

    Which items exist is decided when the call is applied: POST leaves existing ones as they are and PATCH
    ignores missing ones. Raises CatalogError.
    """
    catalog = catalog_of(sandbox, request)
    items = checked_items(catalog.fields, request.json(), edits=request.method == "PATCH")
    check_storage(sandbox, request)
    return _accepted(sandbox, request, catalog, items)


def delete_items(sandbox: Sandbox, request: Request) -> Response:
    """Take the deletion of items; ids that do not exist are ignored. Raises CatalogError."""
    catalog = catalog_of(sandbox, request)
    return _accepted(sandbox, request, catalog, checked_ids(request.json()))


def list_items(sandbox: Sandbox, request: Request) -> Response:
    """Return one page of items by id, with a Link header when there are more pages. Raises CatalogError."""
    catalog = catalog_of(sandbox, request)
    offset = _offset(request.argument("cursor"))
    items = sandbox.reader.items(catalog.id, limit=PAGE_ITEMS + 1, offset=offset)
    links = [
        f'</catalogs/{catalog.name}/items?cursor={_cursor(start)}>; rel="{relation}"'
        for relation, start, exists in (
            ("prev", max(0, offset - PAGE_ITEMS), offset > 0),
            ("next", offset + PAGE_ITEMS, len(items) > PAGE_ITEMS),
        )
        if exists
    ]
    headers = [(b"link", ",".join(links).encode())] if links else []
    return json_response(200, {"items": items[:PAGE_ITEMS], "message": "success"}, headers)


def catalog_of(sandbox: Sandbox, request: Request) -> Catalog:
    """Return the catalogue a path names. Raises CatalogError."""
    name = request.parameters[0]
    try:
        return sandbox.catalogs[name]
    except KeyError:
        raise catalog_not_found(name) from None


def check_storage(sandbox: Sandbox, request: Request) -> None:
    """Refuse what does not fit the storage of the contract, where one is set. Raises CatalogError.

    A body counts as it came, whatever it replaces: Braze does not say how it counts.
    """
    allowed_bytes = sandbox.settings.catalog_storage_bytes
    if allowed_bytes is not None and sandbox.reader.catalog_bytes() + request.received_bytes > allowed_bytes:
        raise CatalogError(
            "company-size-limit-already-reached", "The size limit of the company's catalogs has been reached"
        )


def _accepted(
    sandbox: Sandbox, request: Request, catalog: Catalog, items: list[dict[str, object]]
) -> Response:
    request.objects = len(items)
    distortion = request.distortion
    if distortion and distortion.rejected:
        (_, first), problem = next(iter(distortion.rejected.items()))
        raise CatalogError(problem, problem, parameters=["id"], values=[items[first]["id"]])
    unapplied = distortion.unapplied if distortion else set()
    kept = [item for index, item in enumerate(items) if ("items", index) not in unapplied]
    change = {"catalog_id": catalog.id, "method": request.method, "items": kept}
    sandbox.accept("items", msgspec.json.encode(change), request.delay_seconds)
    return message(202, "success")


def _insert(connection: sqlite3.Connection, definition: Definition) -> None:
    connection.execute(
        "INSERT INTO catalogs (name, description, fields, updated_at) VALUES (?, ?, ?, ?)",
        (
            definition.name,
            definition.description,
            msgspec.json.encode(definition.fields),
            timestamp(time.time()),
        ),
    )


def _remove(connection: sqlite3.Connection, catalog_id: int) -> None:
    connection.execute("DELETE FROM items WHERE catalog_id = ?", (catalog_id,))
    connection.execute("DELETE FROM catalogs WHERE id = ?", (catalog_id,))


def _cursor(offset: int) -> str:
    """Encode where a page starts the way Braze's own cursors look (``c2tpcDow`` is ``skip:0``)."""
    return base64.urlsafe_b64encode(f"skip:{offset}".encode()).decode().rstrip("=")


def _offset(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        return max(0, min(int(text.removeprefix("skip:")), 2**62))
    except (ValueError, binascii.Error):
        raise CatalogError(
            "invalid-cursor", "'cursor' is not valid", parameters=["cursor"], values=[cursor]
        ) from None
