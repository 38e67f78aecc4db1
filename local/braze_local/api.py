"""Route a request to Braze's API to its endpoint.

Every request passes the same checks in this order: trailing slash, path, key, permission, rate limit, size,
content type.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from braze_local import catalogs, track, users
from braze_local.catalog_validation import CatalogError
from braze_local.sandbox import Sandbox
from braze_local.wire import BODY_MAX_BYTES, BodyError, Request, Response, json_response, message

_TOO_MANY = "Too Many Requests: the rate limit of this endpoint is used up"
# The name in the meter of every path Braze does not have.
UNKNOWN_PATH = "(unknown)"
Handler = Callable[[Sandbox, Request], Response | Awaitable[Response]]


async def answered(result: Response | Awaitable[Response]) -> Response:
    """Return the response of a handler, awaiting it where the handler waits for the writer."""
    return result if isinstance(result, Response) else await result


class Route(NamedTuple):
    """Describe one endpoint; `template` is its name in the meter, its `{}` parts are parameters.

    `limit` returns the name of the rate limit of a request.
    """

    method: str
    template: str
    permission: str
    limit: Callable[[Request], str]
    handler: Handler


def _always(limit: str) -> Callable[[Request], str]:
    return lambda _request: limit


_CATALOGS, _ITEMS, _SYNC = _always("catalogs"), _always("catalog-items"), _always("catalog-items-sync")
_ITEMS_PATH = "/catalogs/{name}/items"
_ITEM_PATH = _ITEMS_PATH + "/{id}"

ROUTES = (
    Route("POST", "/users/track", "users.track", _always("track"), track.track),
    Route("POST", "/users/track/bulk", "users.track.bulk", _always("track-bulk"), track.track_bulk),
    Route("POST", "/users/track/sync", "users.track.sync", _always("track-sync"), track.track_sync),
    Route("POST", "/users/export/ids", "users.export.ids", users.export_limit, users.export_ids),
    Route("POST", "/users/delete", "users.delete", _always("users"), users.delete_users),
    Route("GET", "/catalogs", "catalogs.get", _CATALOGS, catalogs.list_catalogs),
    Route("POST", "/catalogs", "catalogs.create", _CATALOGS, catalogs.create_catalog),
    Route("DELETE", "/catalogs/{name}", "catalogs.delete", _CATALOGS, catalogs.delete_catalog),
    Route("GET", _ITEMS_PATH, "catalogs.get_items", _SYNC, catalogs.list_items),
    Route("PUT", _ITEMS_PATH, "catalogs.replace_items", _ITEMS, catalogs.write_items),
    Route("POST", _ITEMS_PATH, "catalogs.add_items", _ITEMS, catalogs.write_items),
    Route("PATCH", _ITEMS_PATH, "catalogs.update_items", _ITEMS, catalogs.write_items),
    Route("DELETE", _ITEMS_PATH, "catalogs.delete_items", _ITEMS, catalogs.delete_items),
    Route("GET", _ITEM_PATH, "catalogs.get_item", _SYNC, catalogs.get_item),
    Route("POST", _ITEM_PATH, "catalogs.create_item", _SYNC, catalogs.create_item),
    Route("PUT", _ITEM_PATH, "catalogs.replace_item", _SYNC, catalogs.replace_item),
    Route("PATCH", _ITEM_PATH, "catalogs.update_item", _SYNC, catalogs.update_item),
    Route("DELETE", _ITEM_PATH, "catalogs.delete_item", _SYNC, catalogs.delete_item),
)
_FIXED = {(route.method, route.template): route for route in ROUTES if "{" not in route.template}
_PATTERNS = [(route, route.template.split("/")) for route in ROUTES if "{" in route.template]


def route_of(request: Request) -> Route | None:
    """Return the endpoint of a request, or None for an unknown path; set the request's parameters."""
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


async def answer(sandbox: Sandbox, request: Request) -> tuple[str, Response]:
    """Return the name of the endpoint for the meter, and the response."""
    route = route_of(request)
    if route is None:
        # Braze: a trailing slash can yield a 403 rather than a 404.
        slash = request.path.endswith("/")
        return UNKNOWN_PATH, message(403, "Forbidden") if slash else message(404, "Not Found")
    return route.template, await _routed(sandbox, request, route)


async def _routed(sandbox: Sandbox, request: Request, route: Route) -> Response:
    refusal = sandbox.keys.refusal(request, route.permission)
    if refusal is not None:
        return refusal
    permit = sandbox.limiter.take(route.limit(request))
    response = await _handled(sandbox, request, route) if permit.allowed else message(429, _TOO_MANY)
    response.headers += permit.headers
    return response


async def _handled(sandbox: Sandbox, request: Request, route: Route) -> Response:
    if request.received_bytes > BODY_MAX_BYTES:
        return message(413, "Request Entity Too Large")
    if request.method != "GET" and request.received_bytes and not _is_json(request):
        return message(415, "Unsupported Media Type: Content-Type must be application/json")
    try:
        return await answered(route.handler(sandbox, request))
    except BodyError as error:
        return message(400, f"The request body is not valid JSON: {error}")
    except CatalogError as error:
        return json_response(error.status, error.body())


def _is_json(request: Request) -> bool:
    kind = request.headers.get(b"content-type", b"")
    return kind == b"application/json" or kind.split(b";")[0].strip().lower() == b"application/json"
