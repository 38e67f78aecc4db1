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
    catalog = _catalog(sandbox, request)
    await asyncio.wrap_future(sandbox.writer.run(lambda connection: _remove(connection, catalog.id)))
    sandbox.reload_catalogs()
    return message(200, "success")


def write_items(sandbox: Sandbox, request: Request) -> Response:
    """Take PUT (upsert whole rows), POST (create) or PATCH (edit existing), all items or none.

    Which items exist is decided when the call is applied: POST leaves existing ones as they are and PATCH
    ignores missing ones. Raises CatalogError.
    """
    catalog = _catalog(sandbox, request)
    items = checked_items(catalog.fields, request.json(), edits=request.method == "PATCH")
    return _accepted(sandbox, request, catalog, items)


def delete_items(sandbox: Sandbox, request: Request) -> Response:
    """Take the deletion of items; ids that do not exist are ignored. Raises CatalogError."""
    catalog = _catalog(sandbox, request)
    return _accepted(sandbox, request, catalog, checked_ids(request.json()))


def list_items(sandbox: Sandbox, request: Request) -> Response:
    """Return one page of items by id, with a Link header when there are more pages. Raises CatalogError."""
    catalog = _catalog(sandbox, request)
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


def get_item(sandbox: Sandbox, request: Request) -> Response:
    """Return one item. Raises CatalogError."""
    catalog, item_id = _catalog(sandbox, request), request.parameters[1]
    item = sandbox.reader.items_by_id(catalog.id, [item_id]).get(item_id)
    if item is None:
        raise CatalogError(
            "item-not-found", "Could not find item", parameters=["item_id"], values=[item_id], status=404
        )
    return json_response(200, {"items": [item], "message": "success"})


def _catalog(sandbox: Sandbox, request: Request) -> Catalog:
    name = request.parameters[0]
    try:
        return sandbox.catalogs[name]
    except KeyError:
        raise catalog_not_found(name) from None


def _accepted(
    sandbox: Sandbox, request: Request, catalog: Catalog, items: list[dict[str, object]]
) -> Response:
    request.objects = len(items)
    change = {"catalog_id": catalog.id, "method": request.method, "items": items}
    sandbox.accept("items", msgspec.json.encode(change))
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
