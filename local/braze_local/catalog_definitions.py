"""Check the definition of a new catalogue. Pure.

https://www.braze.com/docs/api/endpoints/catalogs/catalog_management/synchronous/post_create_catalog
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from braze_local.catalog_errors import CatalogError

# Braze: names and item ids hold at most 250 of these characters.
NAME_MAX_CHARACTERS = 250
NAME_PATTERN = re.compile(r"[A-Za-z0-9_-]+")
FIELDS_MAX = 500
FIELD_TYPES = frozenset({"string", "number", "boolean", "time", "object", "array", "geo"})


@dataclass(frozen=True, slots=True)
class Definition:
    """Hold what a catalogue is created from; `fields` maps names to types, `id` first."""

    name: str
    description: str
    fields: dict[str, str]


def definition_of(body: Any) -> Definition:
    """Read the body of POST /catalogs: exactly one catalogue. Raises CatalogError."""
    catalogs = body.get("catalogs") if isinstance(body, dict) else None
    if not isinstance(catalogs, list) or not all(isinstance(one, dict) for one in catalogs) or not catalogs:
        raise CatalogError("catalog-array-invalid", "catalogs must be an array of objects")
    if len(catalogs) > 1:
        raise CatalogError("too-many-catalog-atoms", "You can only create one catalog per request")
    (catalog,) = catalogs
    return Definition(_name(catalog), str(catalog.get("description", "")), _fields(catalog.get("fields")))


def is_name(value: Any) -> bool:
    """Tell whether the value can name a catalogue, a field or an item."""
    return (
        isinstance(value, str)
        and len(value) <= NAME_MAX_CHARACTERS
        and NAME_PATTERN.fullmatch(value) is not None
    )


def _name(catalog: dict[str, Any]) -> str:
    name = catalog.get("name")
    if not is_name(name):
        raise CatalogError(
            "invalid-catalog-name",
            "Catalog name must be 1 to 250 letters, digits, hyphens and underscores",
            parameters=["name"],
            values=[name],
        )
    return str(name)


def _fields(fields: Any) -> dict[str, str]:
    if not isinstance(fields, list) or not fields or not all(isinstance(one, dict) for one in fields):
        raise CatalogError("invalid-fields", "fields must be an array of objects", parameters=["fields"])
    if len(fields) > FIELDS_MAX:
        raise CatalogError("too-many-fields", f"A catalog has at most {FIELDS_MAX} fields")
    if fields[0].get("name") != "id" or fields[0].get("type") != "string":
        raise CatalogError("id-not-first-column", "The first field must be id, of type string")
    _check_names([one.get("name") for one in fields])
    wrong = [one.get("type") for one in fields if str(one.get("type")) not in FIELD_TYPES]
    if wrong:
        raise CatalogError(
            "invalid-field-types", "Unknown field types", parameters=["type"] * len(wrong), values=wrong
        )
    return {one["name"]: one["type"] for one in fields}


def _check_names(names: list[Any]) -> None:
    wrong = [name for name in names if not is_name(name)]
    if wrong:
        raise CatalogError("invalid-field-names", "Invalid field names", parameters=["name"], values=wrong)
    if len(set(names)) < len(names):
        raise CatalogError("field-names-not-unique", "Field names must be unique", parameters=["name"])
