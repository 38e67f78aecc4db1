"""Render the pages for people: profiles, catalogs and the meter, under / and /ui."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from braze_local import emails
from braze_local.sandbox import Sandbox
from braze_local.store import Json
from braze_local.wire import Request, Response

PAGE_ROWS = 50
# Requests shown beside the meter.
LOG_ROWS = 50
# A table with more columns than this is not readable.
COLUMNS_MAX = 7
_HTML = b"text/html; charset=utf-8"
_SECURITY = [
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-src 'self'",
    )
]
# An e-mail's HTML is data: it may show pictures and open links in a new tab, and run nothing.
_EMAIL_SECURITY = [
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; img-src http: https: data:; "
        b"sandbox allow-popups allow-popups-to-escape-sandbox",
    )
]
_EMAILS = "/ui/emails/"
# The profile fields to show where they are set, in this order.
_FIELDS = (
    "external_id", "braze_id", "user_aliases", "first_name", "last_name", "email", "phone", "country", "language",
    "gender", "dob", "home_city", "time_zone", "email_subscribe", "push_subscribe", "created_at", "total_revenue",
)  # fmt: skip


@dataclass(slots=True)
class _NestedAttribute:
    """Prepare an array or an object for the template: catalog items, a table or chips; else it is empty."""

    name: str
    columns: list[str] = field(default_factory=list)
    rows: Sequence[Sequence[Any]] = ()
    chips: Sequence[Any] = ()
    catalog: str | None = None
    # Each recommended id with its item's values, None when the catalog lacks it.
    items: Sequence[tuple[Any, list[Any] | None]] = ()


def page(sandbox: Sandbox, request: Request) -> Response:
    """Answer one request for a page."""
    if request.path.startswith(_EMAILS):
        found = _email(sandbox, *request.path.removeprefix(_EMAILS).partition("/")[::2])
        if found is not None:
            return Response(200, found, _HTML, list(_EMAIL_SECURITY))
    content = _content(sandbox, request)
    body = content or _render("not_found", title="Not found")
    return Response(200 if content else 404, body, _HTML, list(_SECURITY))


def _content(sandbox: Sandbox, request: Request) -> bytes | None:
    if request.path == "/":
        return _profiles(sandbox, request)
    if request.path.startswith("/profiles/"):
        profile = sandbox.reader.profile(request.path.removeprefix("/profiles/"))
        return _profile(sandbox, profile) if profile else None
    if request.path == "/ui/catalogs":
        listed = [(catalog, sandbox.reader.item_count(catalog.id)) for catalog in sandbox.catalogs.values()]
        return _render("catalogs", title="Catalogs", catalogs=listed)
    if request.path == "/ui/meter":
        return _meter(sandbox)
    name = request.path.removeprefix("/ui/catalogs/")
    return _catalog(sandbox, request, name) if name in sandbox.catalogs else None


def _email(sandbox: Sandbox, name: str, external_id: str) -> bytes | None:
    profile = sandbox.reader.profile(external_id)
    if profile is None or name not in emails.names(sandbox.settings.emails):
        return None
    email = emails.render(sandbox, name, profile)
    # A link would otherwise open within the frame of the profile's page.
    return email.html.replace("<head>", '<head><base target="_blank">', 1).encode()


def _profiles(sandbox: Sandbox, request: Request) -> bytes:
    prefix, offset = request.argument("q"), request.number("offset", 0)
    return _render(
        "profiles",
        title="Profiles",
        prefix=prefix,
        profiles=sandbox.reader.profiles(limit=PAGE_ROWS, offset=offset, prefix=prefix),
        page={"offset": offset, "size": PAGE_ROWS, "total": sandbox.reader.profile_count(prefix)},
    )


def _profile(sandbox: Sandbox, profile: Json) -> bytes:
    custom = profile["custom_attributes"]
    named = emails.names(sandbox.settings.emails) if "external_id" in profile else []
    return _render(
        "profile",
        title=profile.get("external_id") or profile["braze_id"],
        nested=[
            _nested(sandbox, name, value) for name, value in custom.items() if isinstance(value, dict | list)
        ],
        plain=[(name, value) for name, value in custom.items() if not isinstance(value, dict | list)],
        emails=[emails.render(sandbox, name, profile) for name in named],
        fields=[(name, profile[name]) for name in _FIELDS if profile.get(name)],
        history=[
            (title, [(one["name"], one["count"], one["first"], one["last"]) for one in profile[key]])
            for title, key in (("Custom events", "custom_events"), ("Purchases", "purchases"))
        ],
    )


def _nested(sandbox: Sandbox, name: str, value: Any) -> _NestedAttribute:
    if isinstance(value, dict):
        return _NestedAttribute(name, ["key", "value"], list(value.items()))
    if value and all(isinstance(one, dict) for one in value):
        columns = list(dict.fromkeys(key for one in value for key in one))[:COLUMNS_MAX]
        rows = [(position, *map(one.get, columns)) for position, one in enumerate(value, 1)]
        return _NestedAttribute(name, ["", *columns], rows)
    return _recommended_items(sandbox, name, value) or _NestedAttribute(name, chips=value)


def _recommended_items(sandbox: Sandbox, name: str, ids: list[Any]) -> _NestedAttribute | None:
    """Look the ids up in the catalog that has most of them; None when no catalog has any."""
    texts = [one for one in ids if isinstance(one, str)]
    found = [
        (catalog, sandbox.reader.items_by_id(catalog.id, texts)) for catalog in sandbox.catalogs.values()
    ]
    catalog, items = max(found, key=lambda one: len(one[1]), default=(None, {}))
    if catalog is None or not items:
        return None
    columns = [column for column in catalog.fields if column != "id"][:COLUMNS_MAX]
    rows = [(one, [items[one].get(column) for column in columns] if one in items else None) for one in ids]
    return _NestedAttribute(name, columns, catalog=catalog.name, items=rows)


def _catalog(sandbox: Sandbox, request: Request, name: str) -> bytes:
    catalog, offset = sandbox.catalogs[name], request.number("offset", 0)
    columns = list(catalog.fields)[: COLUMNS_MAX + 1]
    items = sandbox.reader.items(catalog.id, limit=PAGE_ROWS, offset=offset)
    return _render(
        "catalog",
        title=name,
        description=catalog.description,
        columns=columns,
        rows=[[item.get(column) for column in columns] for item in items],
        page={"offset": offset, "size": PAGE_ROWS, "total": sandbox.reader.item_count(catalog.id)},
    )


def _meter(sandbox: Sandbox) -> bytes:
    report = sandbox.meter.report()
    return _render(
        "meter",
        title="Meter",
        pending=sandbox.writer.pending,
        points=_points(report),
        drops=_flat(report["dropped_writes"]["attributes"]),
        requests=_flat(report["requests"]),
        latest=[tuple(entry.values()) for entry in sandbox.log.latest(LOG_ROWS)],
    )


def _flat(counts: dict[str, dict[str, int]]) -> list[tuple[str, str, int]]:
    return [(name, key, number) for name, by_key in counts.items() for key, number in by_key.items()]


def _points(report: Json) -> list[tuple[Any, ...]]:
    writes, unchanged = report["attribute_writes"]["attributes"], report["unchanged_writes"]["attributes"]
    points = report["data_points"]
    rows: list[tuple[Any, ...]] = [
        (name, writes[name], unchanged.get(name, 0), number) for name, number in points["attributes"].items()
    ]
    rows += [(f"event {name}", number, None, number) for name, number in points["events"].items()]
    if points["purchases"]:
        rows.append(("purchases", points["purchases"], None, points["purchases"]))
    return [*rows, ("total", None, report["unchanged_writes"]["total"], points["total"])]


def _text(value: Any) -> str:
    """Show a string as it is and any other value as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _render(template: str, **context: Any) -> bytes:
    return _templates.get_template(f"{template}.html").render(context).encode()


_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {
    "segment": lambda text: quote(text, safe=""),
    "text": _text,
    "thousands": lambda number: f"{number:,}",
}
