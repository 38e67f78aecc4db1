"""Answer the endpoints of one catalog item, which take effect at once.

https://www.braze.com/docs/api/endpoints/catalogs/catalog_items/synchronous/get_catalog_item_details
"""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

from braze_local.applier import apply_items
from braze_local.catalog_errors import CatalogError
from braze_local.catalog_items import Item, check_ids, checked_item
from braze_local.catalogs import catalog_of, check_storage
from braze_local.reader import Catalog
from braze_local.sandbox import Sandbox
from braze_local.wire import Request, Response, json_response, message


def get_item(sandbox: Sandbox, request: Request) -> Response:
    """Return one item. Raises CatalogError."""
    catalog, item_id = catalog_of(sandbox, request), request.parameters[1]
    item = _held(sandbox, catalog, item_id)
    if item is None:
        raise _not_found(item_id)
    return json_response(200, {"items": [item], "message": "success"})


async def create_item(sandbox: Sandbox, request: Request) -> Response:
    """Create one item that does not exist. Raises CatalogError."""
    catalog, item = _checked(sandbox, request)
    if _held(sandbox, catalog, item["id"]):
        raise CatalogError(
            "item-already-exists",
            "The item already exists in the catalog",
            parameters=["item_id"],
            values=[item["id"]],
        )
    return await _applied(sandbox, request, catalog, item, 201)


async def replace_item(sandbox: Sandbox, request: Request) -> Response:
    """Replace one item as a whole, creating it where it does not exist. Raises CatalogError."""
    catalog, item = _checked(sandbox, request)
    return await _applied(
        sandbox, request, catalog, item, 200 if _held(sandbox, catalog, item["id"]) else 201
    )


async def update_item(sandbox: Sandbox, request: Request) -> Response:
    """Edit the given fields of one item that exists. Raises CatalogError."""
    catalog, item = _checked(sandbox, request)
    if _held(sandbox, catalog, item["id"]) is None:
        raise _not_found(item["id"])
    return await _applied(sandbox, request, catalog, item, 200)


async def delete_item(sandbox: Sandbox, request: Request) -> Response:
    """Delete one item that exists. Raises CatalogError."""
    catalog, item_id = catalog_of(sandbox, request), request.parameters[1]
    if _held(sandbox, catalog, item_id) is None:
        raise _not_found(item_id)
    return await _applied(sandbox, request, catalog, {"id": item_id}, 200)


def _checked(sandbox: Sandbox, request: Request) -> tuple[Catalog, Item]:
    """Read ``{"items": [{...}]}``: one item, its id in the path alone."""
    catalog, item_id = catalog_of(sandbox, request), request.parameters[1]
    check_ids([item_id])
    item = _only_item(request.json())
    if "id" in item:
        raise CatalogError("id-in-body", "The item id is given in the path only", parameters=["id"])
    check_storage(sandbox, request)
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


def _held(sandbox: Sandbox, catalog: Catalog, item_id: str) -> Item | None:
    return sandbox.reader.items_by_id(catalog.id, [item_id]).get(item_id)


def _not_found(item_id: str) -> CatalogError:
    return CatalogError(
        "item-not-found", "Could not find item", parameters=["item_id"], values=[item_id], status=404
    )
