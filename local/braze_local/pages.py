"""Show what this workspace holds, to a person: profiles, catalogues and the meter, under / and /ui."""

from __future__ import annotations

from html import escape
from typing import Any

from braze_local.markup import Markup, chips, document, link, pager, path, section, soft, table
from braze_local.profile_page import COLUMNS_MAX, profile_page
from braze_local.reader import Json
from braze_local.sandbox import Sandbox
from braze_local.wire import Request, Response

PAGE_ROWS = 50
# Requests shown beside the meter.
LOG_ROWS = 50
_HTML = b"text/html; charset=utf-8"
_SECURITY = [
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'")
]


def page(sandbox: Sandbox, request: Request) -> Response:
    """Answer one request for a page."""
    content = _page(sandbox, request)
    status = 200 if content else 404
    body = content or document("Not found", Markup("<p>There is nothing under this address.</p>"))
    return Response(status, body, _HTML, list(_SECURITY))


def _page(sandbox: Sandbox, request: Request) -> bytes | None:
    if request.path == "/":
        return _profiles(sandbox, request)
    if request.path.startswith("/profiles/"):
        profile = sandbox.reader.profile(request.path.removeprefix("/profiles/"))
        return profile_page(sandbox.reader, list(sandbox.catalogs.values()), profile) if profile else None
    if request.path == "/ui/catalogs":
        return _catalogs(sandbox)
    if request.path == "/ui/meter":
        return _meter(sandbox)
    name = request.path.removeprefix("/ui/catalogs/")
    return _catalog(sandbox, request, name) if name in sandbox.catalogs else None


def _profiles(sandbox: Sandbox, request: Request) -> bytes:
    prefix, offset = request.argument("q"), request.number("offset", 0)
    profiles = sandbox.reader.profiles(limit=PAGE_ROWS, offset=offset, prefix=prefix)
    total = sandbox.reader.profile_count(prefix)
    search = Markup(
        '<form action="/"><input name="q" placeholder="external id starts with" aria-label="external id"'
        f' value="{escape(prefix)}"><button>Find</button></form>'
    )
    rows = table(("external id", "custom attributes", "created"), map(_profile_row, profiles))
    pages = pager("/", offset, PAGE_ROWS, total, **({"q": prefix} if prefix else {}))
    return document("Profiles", search, Markup(f"<section>{rows}</section>"), pages)


def _profile_row(profile: Json) -> tuple[Any, ...]:
    external_id = profile.get("external_id")
    name = link(path("profiles", external_id), external_id) if external_id else soft(profile["braze_id"])
    return name, chips(profile["custom_attributes"]), soft(profile["created_at"])


def _catalogs(sandbox: Sandbox) -> bytes:
    rows = [
        (
            link(path("ui", "catalogs", catalog.name), catalog.name),
            catalog.description,
            sandbox.reader.item_count(catalog.id),
            chips(catalog.fields),
        )
        for catalog in sandbox.catalogs.values()
    ]
    listed = table(("name", "description", "items", "fields"), rows)
    return document("Catalogs", Markup(f"<section>{listed}</section>"))


def _catalog(sandbox: Sandbox, request: Request, name: str) -> bytes:
    catalog, offset = sandbox.catalogs[name], request.number("offset", 0)
    columns = list(catalog.fields)[: COLUMNS_MAX + 1]
    items = sandbox.reader.items(catalog.id, limit=PAGE_ROWS, offset=offset)
    rows = table(columns, [[item.get(column) for column in columns] for item in items])
    total = sandbox.reader.item_count(catalog.id)
    pages = pager(path("ui", "catalogs", name), offset, PAGE_ROWS, total)
    return document(name, Markup(f"<p>{soft(catalog.description)}</p><section>{rows}</section>"), pages)


def _meter(sandbox: Sandbox) -> bytes:
    report = sandbox.meter.report()
    requests = [
        (name, outcome, number) for name, by in report["requests"].items() for outcome, number in by.items()
    ]
    drops = [
        (name, reason, number)
        for name, by in report["dropped_writes"]["attributes"].items()
        for reason, number in by.items()
    ]
    latest = [tuple(entry.values()) for entry in sandbox.log.latest(LOG_ROWS)]
    return document(
        "Meter",
        Markup(f"<p>{soft(f'{sandbox.writer.pending:,} accepted requests are waiting to be applied')}</p>"),
        section("Data points", _points(report)),
        section("Writes dropped after a 201", table(("attribute", "reason", "writes"), drops)),
        section("Requests", table(("endpoint", "outcome", "requests"), requests)),
        section("Latest requests", table(("time", "method", "path", "outcome", "objects", "bytes"), latest)),
    )


def _points(report: Json) -> Markup:
    writes, unchanged = report["attribute_writes"]["attributes"], report["unchanged_writes"]["attributes"]
    points = report["data_points"]
    rows: list[tuple[Any, ...]] = [
        (name, writes[name], unchanged.get(name, 0), number) for name, number in points["attributes"].items()
    ]
    rows += [(f"event {name}", number, None, number) for name, number in points["events"].items()]
    if points["purchases"]:
        rows.append(("purchases", points["purchases"], None, points["purchases"]))
    total = ("total", None, report["unchanged_writes"]["total"], points["total"])
    return table(("attribute", "writes", "of them unchanged", "data points"), [*rows, total])
