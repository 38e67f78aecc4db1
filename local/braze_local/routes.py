"""List Braze's endpoints: path, permission, rate-limit family, handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from braze_local import catalog_single, catalogs, deletion, export, sync, track
from braze_local.sandbox import Sandbox
from braze_local.wire import Request, Response

Handler = Callable[[Sandbox, Request], Response | Awaitable[Response]]


async def answered(result: Response | Awaitable[Response]) -> Response:
    """Return what a handler answered, waiting for it where the handler had to wait for the writer."""
    return result if isinstance(result, Response) else await result


class Route(NamedTuple):
    """Describe one endpoint; `template` names it in the meter, and `{}` parts are its parameters."""

    method: str
    template: str
    permission: str
    family: Callable[[Request], str]
    handler: Handler


def _always(family: str) -> Callable[[Request], str]:
    return lambda _request: family


_CATALOGS, _ITEMS, _SYNC = _always("catalogs"), _always("catalog-items"), _always("catalog-items-sync")
_ITEMS_PATH = "/catalogs/{name}/items"
_ITEM_PATH = _ITEMS_PATH + "/{id}"

ROUTES = (
    Route("POST", "/users/track", "users.track", _always("track"), track.track),
    Route("POST", "/users/track/bulk", "users.track.bulk", _always("track-bulk"), track.track_bulk),
    Route("POST", "/users/track/sync", "users.track.sync", _always("track-sync"), sync.track_sync),
    Route("POST", "/users/export/ids", "users.export.ids", export.family, export.export_ids),
    Route("POST", "/users/delete", "users.delete", _always("users"), deletion.delete_users),
    Route("GET", "/catalogs", "catalogs.get", _CATALOGS, catalogs.list_catalogs),
    Route("POST", "/catalogs", "catalogs.create", _CATALOGS, catalogs.create_catalog),
    Route("DELETE", "/catalogs/{name}", "catalogs.delete", _CATALOGS, catalogs.delete_catalog),
    Route("GET", _ITEMS_PATH, "catalogs.get_items", _SYNC, catalogs.list_items),
    Route("PUT", _ITEMS_PATH, "catalogs.replace_items", _ITEMS, catalogs.write_items),
    Route("POST", _ITEMS_PATH, "catalogs.add_items", _ITEMS, catalogs.write_items),
    Route("PATCH", _ITEMS_PATH, "catalogs.update_items", _ITEMS, catalogs.write_items),
    Route("DELETE", _ITEMS_PATH, "catalogs.delete_items", _ITEMS, catalogs.delete_items),
    Route("GET", _ITEM_PATH, "catalogs.get_item", _SYNC, catalog_single.get_item),
    Route("POST", _ITEM_PATH, "catalogs.create_item", _SYNC, catalog_single.create_item),
    Route("PUT", _ITEM_PATH, "catalogs.replace_item", _SYNC, catalog_single.replace_item),
    Route("PATCH", _ITEM_PATH, "catalogs.update_item", _SYNC, catalog_single.update_item),
    Route("DELETE", _ITEM_PATH, "catalogs.delete_item", _SYNC, catalog_single.delete_item),
)
_FIXED = {(route.method, route.template): route for route in ROUTES if "{" not in route.template}
_PATTERNS = [(route, route.template.split("/")) for route in ROUTES if "{" in route.template]


def route_of(request: Request) -> Route | None:
    """Return the endpoint of a request and set its parameters, or None for a path Braze does not have."""
    fixed = _FIXED.get((request.method, request.path))
    if fixed is not None:
        return fixed
    parts = request.path.split("/")
    for route, pattern in _PATTERNS:
        if route.method == request.method and _fits(pattern, parts):
            request.parameters = tuple(p for p, name in zip(parts, pattern, strict=True) if name[:1] == "{")
            return route
    return None


def _fits(pattern: list[str], parts: list[str]) -> bool:
    return len(pattern) == len(parts) and all(
        part if name[:1] == "{" else name == part for name, part in zip(pattern, parts, strict=True)
    )
