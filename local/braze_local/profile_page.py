"""Show one profile the way a marketer thinks of it: recommended ids become the catalogue's items, in order."""

from __future__ import annotations

from typing import Any

from braze_local.markup import Markup, chips, document, link, path, section, soft, table
from braze_local.reader import Catalog, Json, Reader

# A table wider than this is no longer read.
COLUMNS_MAX = 7
# Shown as fields of the profile, in this order, where they are set.
_FIELDS = (
    "external_id",
    "braze_id",
    "user_aliases",
    "first_name",
    "last_name",
    "email",
    "phone",
    "country",
    "language",
    "gender",
    "dob",
    "home_city",
    "time_zone",
    "email_subscribe",
    "push_subscribe",
    "created_at",
    "total_revenue",
)


def profile_page(reader: Reader, catalogs: list[Catalog], profile: Json) -> bytes:
    """Return the page of one profile."""
    custom = profile["custom_attributes"]
    plain = {name: value for name, value in custom.items() if not isinstance(value, dict | list)}
    fields = [(name, profile[name]) for name in _FIELDS if profile.get(name)]
    sections = [
        section(name, _structured(reader, catalogs, value))
        for name, value in custom.items()
        if name not in plain
    ]
    if plain or not custom:
        sections.append(section("Custom attributes", table(("attribute", "value"), plain.items())))
    sections.append(section("Profile", table(("field", "value"), fields)))
    for title, key in (("Custom events", "custom_events"), ("Purchases", "purchases")):
        if profile[key]:
            rows = [(one["name"], one["count"], one["first"], one["last"]) for one in profile[key]]
            sections.append(section(title, table(("name", "count", "first", "last"), rows)))
    return document(profile.get("external_id") or profile["braze_id"], *sections)


def _structured(reader: Reader, catalogs: list[Catalog], value: Any) -> Markup:
    if isinstance(value, dict):
        return table(("key", "value"), value.items())
    if value and all(isinstance(one, dict) for one in value):
        return _objects(value)
    ids = [one for one in value if isinstance(one, str)]
    catalog, items = _best_catalog(reader, catalogs, ids)
    if catalog is None:
        return chips(value) if value else soft("an empty array")
    return _items(catalog, items, value)


def _best_catalog(
    reader: Reader, catalogs: list[Catalog], ids: list[str]
) -> tuple[Catalog | None, dict[str, Json]]:
    """Return the catalogue that knows most of the ids, and its items; no catalogue when none knows any."""
    found = [(catalog, reader.items_by_id(catalog.id, ids)) for catalog in catalogs] if ids else []
    best = max(found, key=lambda one: len(one[1]), default=None)
    return best if best and best[1] else (None, {})


def _items(catalog: Catalog, items: dict[str, Json], ids: list[Any]) -> Markup:
    columns = [name for name in catalog.fields if name != "id"][:COLUMNS_MAX]
    rows = [
        (position, one, *(items[one].get(name) for name in columns))
        if one in items
        else (position, one, Markup('<span class="warn">not in the catalogue</span>'))
        for position, one in enumerate(ids, 1)
    ]
    missing = sum(one not in items for one in ids)
    note = Markup(
        f'<p class="soft">{len(ids)} items of {link(path("ui", "catalogs", catalog.name), catalog.name)}'
        f"{f', {missing} of them not in it' if missing else ''}</p>"
    )
    return Markup(note + table(("", "id", *columns), rows))


def _objects(objects: list[Json]) -> Markup:
    columns = list(dict.fromkeys(key for one in objects for key in one))[:COLUMNS_MAX]
    rows = [(position, *(one.get(name) for name in columns)) for position, one in enumerate(objects, 1)]
    return table(("", *columns), rows)
