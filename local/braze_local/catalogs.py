"""Answer the catalog endpoints.

Definitions and single items change at once, lists of items after the apply delay.
https://www.braze.com/docs/api/endpoints/catalogs
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import sqlite3
import time
from typing import Any

import msgspec

from braze_local.applier import apply_items
from braze_local.catalog_validation import (
    CatalogError,
    Definition,
    Item,
    check_ids,
    checked_definition,
    checked_ids,
    checked_item,
    checked_items,
)
from braze_local.profiles import timestamp
from braze_local.sandbox import Sandbox
from braze_local.store import Catalog
from braze_local.wire import Request, Response, json_response, message

# Braze: items per page of GET /catalogs/{name}/items.
PAGE_ITEMS = 50


def list_catalogs(sandbox: Sandbox, _request: Request) -> Response:
    """Return every catalog with its fields and number of items."""
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
    """Create one catalog. Raises CatalogError."""
    definition = checked_definition(request.json())
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
    """Delete a catalog and its items. Raises CatalogError."""
    catalog = _catalog(sandbox, request)
    await asyncio.wrap_future(sandbox.writer.run(lambda connection: _remove(connection, catalog.id)))
    sandbox.reload_catalogs()
    return message(200, "success")


def write_items(sandbox: Sandbox, request: Request) -> Response:
    """Accept PUT (upsert whole rows), POST (create) or PATCH (edit existing), all items or none.

    Existence is checked when the request is applied: POST keeps existing items and PATCH ignores missing
    ones. Raises CatalogError.
    """
    catalog = _catalog(sandbox, request)
    items = checked_items(catalog.fields, request.json(), edits=request.method == "PATCH")
    _check_storage(sandbox, request)
    return _accepted(sandbox, request, catalog, items)


def delete_items(sandbox: Sandbox, request: Request) -> Response:
    """Accept the deletion of items; unknown ids are ignored. Raises CatalogError."""
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
    item = _stored_item(sandbox, catalog, item_id)
    if item is None:
        raise _not_found(item_id)
    return json_response(200, {"items": [item], "message": "success"})


async def create_item(sandbox: Sandbox, request: Request) -> Response:
    """Create one item that does not exist. Raises CatalogError."""
    catalog, item = _checked_item(sandbox, request)
    if _stored_item(sandbox, catalog, item["id"]):
        raise CatalogError(
            "item-already-exists",
            "The item already exists in the catalog",
            parameters=["item_id"],
            values=[item["id"]],
        )
    return await _applied(sandbox, request, catalog, item, 201)


async def replace_item(sandbox: Sandbox, request: Request) -> Response:
    """Create or replace one item. Raises CatalogError."""
    catalog, item = _checked_item(sandbox, request)
    return await _applied(
        sandbox, request, catalog, item, 200 if _stored_item(sandbox, catalog, item["id"]) else 201
    )


async def update_item(sandbox: Sandbox, request: Request) -> Response:
    """Edit the given fields of one item that exists. Raises CatalogError."""
    catalog, item = _checked_item(sandbox, request)
    if _stored_item(sandbox, catalog, item["id"]) is None:
        raise _not_found(item["id"])
    return await _applied(sandbox, request, catalog, item, 200)


async def delete_item(sandbox: Sandbox, request: Request) -> Response:
    """Delete one item that exists. Raises CatalogError."""
    catalog, item_id = _catalog(sandbox, request), request.parameters[1]
    if _stored_item(sandbox, catalog, item_id) is None:
        raise _not_found(item_id)
    return await _applied(sandbox, request, catalog, {"id": item_id}, 200)


def _catalog(sandbox: Sandbox, request: Request) -> Catalog:
    name = request.parameters[0]
    try:
        return sandbox.catalogs[name]
    except KeyError:
        raise CatalogError(
            "catalog-not-found",
            "Could not find catalog",
            parameters=["catalog_name"],
            values=[name],
            status=404,
        ) from None


def _check_storage(sandbox: Sandbox, request: Request) -> None:
    """Refuse a request over the storage limit. Raises CatalogError.

    The whole body counts, even where it replaces items: Braze's way of counting is not documented.
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
    faults = request.object_faults
    if faults and faults.rejected:
        (_, first), problem = next(iter(faults.rejected.items()))
        raise CatalogError(problem, problem, parameters=["id"], values=[items[first]["id"]])
    unapplied = faults.unapplied if faults else set()
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
    """Encode the start of a page in the format of Braze's cursors (``c2tpcDow`` is ``skip:0``)."""
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


def _checked_item(sandbox: Sandbox, request: Request) -> tuple[Catalog, Item]:
    """Parse ``{"items": [{...}]}``: one item without an id; the path has the id."""
    catalog, item_id = _catalog(sandbox, request), request.parameters[1]
    check_ids([item_id])
    item = _only_item(request.json())
    if "id" in item:
        raise CatalogError("id-in-body", "The item id is given in the path only", parameters=["id"])
    _check_storage(sandbox, request)
    item = checked_item(catalog.fields, {"id": item_id, **item}, edits=request.method == "PATCH")
    return catalog, item


def _only_item(body: Any) -> Item:
    items = body.get("items") if isinstance(body, dict) else None
    if not isinstance(items, list) or not items or not isinstance(items[0], dict):
        raise CatalogError("item-array-invalid", "items must be an array of objects", parameters=["items"])
    if len(items) > 1:
        raise CatalogError("request-includes-too-many-items", "Only one item may be given")
    return dict(items[0])


async def _applied(sandbox: Sandbox, request: Request, catalog: Catalog, item: Item, status: int) -> Response:
    request.objects = 1
    change = {"catalog_id": catalog.id, "method": request.method, "items": [item]}

    def command(connection: sqlite3.Connection) -> None:
        apply_items(connection, change)

    await asyncio.wrap_future(sandbox.writer.run(command))
    return message(status, "success")


def _stored_item(sandbox: Sandbox, catalog: Catalog, item_id: str) -> Item | None:
    return sandbox.reader.items_by_id(catalog.id, [item_id]).get(item_id)


def _not_found(item_id: str) -> CatalogError:
    return CatalogError(
        "item-not-found", "Could not find item", parameters=["item_id"], values=[item_id], status=404
    )
