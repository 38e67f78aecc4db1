"""Answer a request to Braze's API: everything common to its endpoints comes first, in this order.

Trailing slash, path, key, permission, rate limit, size, content type, then the endpoint itself.
"""

from __future__ import annotations

from braze_local.catalog_errors import CatalogError
from braze_local.routes import Route, answered, route_of
from braze_local.sandbox import Sandbox
from braze_local.wire import BODY_MAX_BYTES, BodyError, Request, Response, json_response, message

_TOO_MANY = "Too Many Requests: the rate limit of this endpoint is used up"
# How the meter names every path Braze does not have.
UNKNOWN_PATH = "(unknown)"


async def answer(sandbox: Sandbox, request: Request) -> tuple[str, Response]:
    """Return the name of the endpoint for the meter, and the answer."""
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
    verdict = sandbox.limiter.take(route.family(request))
    response = await _handled(sandbox, request, route) if verdict.allowed else message(429, _TOO_MANY)
    response.headers += verdict.headers
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
