"""Validate catalog definitions and items, with Braze's error ids. Pure.

A request is accepted or refused as a whole.
https://www.braze.com/docs/api/endpoints/catalogs/catalog_management/synchronous/post_create_catalog
https://www.braze.com/docs/api/endpoints/catalogs/catalog_items/asynchronous/put_update_catalog_items
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

Item = dict[str, Any]
# Braze: names and item ids hold at most 250 of these characters.
NAME_MAX_CHARACTERS = 250
_NAME_PATTERN = re.compile(r"[A-Za-z0-9_-]+")
_FIELDS_MAX = 500
_FIELD_TYPES = frozenset({"string", "number", "boolean", "time", "object", "array", "geo"})
# Braze: items per call, characters per value, elements per array field, levels of an object field.
ITEMS_MAX = 50
VALUE_MAX_CHARACTERS = 5_000
ARRAY_MAX_ELEMENTS = 100
NESTING_MAX_LEVELS = 50
_EDITS = {"$add", "$remove"}


class CatalogError(Exception):
    """A refused catalog request: Braze's error id, a message and the parameters."""

    def __init__(
        self,
        error_id: str,
        message: str,
        *,
        parameters: Sequence[str] = (),
        values: Sequence[Any] = (),
        status: int = 400,
    ) -> None:
        super().__init__(message)
        self.error_id = error_id
        self.parameters = list(parameters)
        self.values = list(values)
        self.status = status

    def body(self) -> dict[str, Any]:
        """Return the response body."""
        error = {
            "id": self.error_id,
            "message": str(self),
            "parameters": self.parameters,
            "parameter_values": self.values,
        }
        return {"errors": [error], "message": "Invalid Request"}


@dataclass(frozen=True, slots=True)
class Definition:
    """Hold the definition of a new catalog; `fields` maps names to types, `id` first."""

    name: str
    description: str
    fields: dict[str, str]


def checked_definition(body: Any) -> Definition:
    """Validate the body of POST /catalogs: exactly one catalog. Raises CatalogError."""
    catalogs = body.get("catalogs") if isinstance(body, dict) else None
    if not isinstance(catalogs, list) or not all(isinstance(one, dict) for one in catalogs) or not catalogs:
        raise CatalogError("catalog-array-invalid", "catalogs must be an array of objects")
    if len(catalogs) > 1:
        raise CatalogError("too-many-catalog-atoms", "You can only create one catalog per request")
    (catalog,) = catalogs
    return Definition(_name(catalog), str(catalog.get("description", "")), _fields(catalog.get("fields")))


def _is_name(value: Any) -> bool:
    """Return whether the value is a valid name of a catalog, a field or an item."""
    return (
        isinstance(value, str)
        and len(value) <= NAME_MAX_CHARACTERS
        and _NAME_PATTERN.fullmatch(value) is not None
    )


def _name(catalog: dict[str, Any]) -> str:
    name = catalog.get("name")
    if not _is_name(name):
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
    if len(fields) > _FIELDS_MAX:
        raise CatalogError("too-many-fields", f"A catalog has at most {_FIELDS_MAX} fields")
    if fields[0].get("name") != "id" or fields[0].get("type") != "string":
        raise CatalogError("id-not-first-column", "The first field must be id, of type string")
    _check_names([one.get("name") for one in fields])
    wrong = [one.get("type") for one in fields if str(one.get("type")) not in _FIELD_TYPES]
    if wrong:
        raise CatalogError(
            "invalid-field-types", "Unknown field types", parameters=["type"] * len(wrong), values=wrong
        )
    return {one["name"]: one["type"] for one in fields}


def _check_names(names: list[Any]) -> None:
    wrong = [name for name in names if not _is_name(name)]
    if wrong:
        raise CatalogError("invalid-field-names", "Invalid field names", parameters=["name"], values=wrong)
    if len(set(names)) < len(names):
        raise CatalogError("field-names-not-unique", "Field names must be unique", parameters=["name"])


def checked_items(fields: dict[str, str], body: Any, *, edits: bool) -> list[Item]:
    """Return the items of a PUT, POST or (`edits`) PATCH body, values coerced to the columns' types.

    Raises CatalogError for the first problem.
    """
    items = _items(body)
    check_ids([item.get("id") for item in items])
    return [checked_item(fields, item, edits) for item in items]


def checked_ids(body: Any) -> list[Item]:
    """Return the items of a DELETE body, ids only. Raises CatalogError."""
    ids = [item.get("id") for item in _items(body)]
    check_ids(ids)
    return [{"id": item_id} for item_id in ids]


def patched_item(stored: Item, patch: Item) -> Item:
    """Return the stored item with the fields of a PATCH; ``$add``/``$remove`` edit an array field."""
    return stored | {
        name: _edited_array(stored.get(name), value) if _is_edit(value) else value
        for name, value in patch.items()
    }


def _items(body: Any) -> list[Item]:
    items = body.get("items") if isinstance(body, dict) else None
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise CatalogError("item-array-invalid", "items must be an array of objects", parameters=["items"])
    if len(items) > ITEMS_MAX:
        raise CatalogError("request-includes-too-many-items", f"A request has at most {ITEMS_MAX} items")
    return items


def check_ids(ids: list[Any]) -> None:
    """Raise CatalogError for item ids that are missing, invalid or repeated."""

    def refuse(error_id: str, message: str, values: list[Any]) -> None:
        if values:
            raise CatalogError(error_id, message, parameters=["id"] * len(values), values=values)

    if any(item_id is None for item_id in ids):
        raise CatalogError("items-missing-ids", "Every item must have an id", parameters=["id"])
    refuse("ids-not-strings", "Item ids must be strings", [one for one in ids if not isinstance(one, str)])
    too_large = [one for one in ids if len(one) > NAME_MAX_CHARACTERS]
    refuse("ids-too-large", f"Item ids have at most {NAME_MAX_CHARACTERS} characters", too_large)
    invalid = [one for one in ids if not _is_name(one)]
    refuse("invalid-ids", "Item ids consist of letters, digits, hyphens and underscores", invalid)
    refuse("ids-not-unique", "Item ids must be unique within the request", _repeated(ids))


def _repeated(ids: list[str]) -> list[str]:
    seen: set[str] = set()
    return [one for one in ids if one in seen or seen.add(one)]  # type: ignore[func-returns-value]  # add() is the loop's memory


def checked_item(fields: dict[str, str], item: Item, edits: bool) -> Item:
    """Return one item, its values coerced to the columns' types. Raises CatalogError."""
    unknown = [name for name in item if name not in fields]
    if unknown:
        raise CatalogError(
            "invalid-fields",
            "Some of the fields given do not exist in the catalog",
            parameters=unknown,
            values=[item["id"]],
        )
    return {"id": item["id"]} | {
        name: _coerced(name, fields[name], value, edits) for name, value in item.items() if name != "id"
    }


def _coerced(name: str, kind: str, value: Any, edits: bool) -> Any:
    if value is None:
        return None
    try:
        if edits and kind == "array" and _is_edit(value):
            return {key: _strings(operand) for key, operand in value.items()}
        coerced = _COERCIONS[kind](value)
    except (TypeError, ValueError):
        raise CatalogError(
            "unable-to-coerce-value",
            f"Could not coerce a value to {kind}",
            parameters=[name],
            values=[value],
        ) from None
    text = coerced if isinstance(coerced, str) else msgspec.json.encode(coerced).decode()
    if len(text) > VALUE_MAX_CHARACTERS:
        raise CatalogError(
            "items-too-large", f"Values have at most {VALUE_MAX_CHARACTERS} characters", parameters=[name]
        )
    return coerced


def _is_edit(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and value.keys() <= _EDITS


def _edited_array(stored: Any, edit: dict[str, list[str]]) -> list[str]:
    kept = [*(stored or []), *edit.get("$add", [])]
    return [one for one in kept if one not in edit.get("$remove", [])][:ARRAY_MAX_ELEMENTS]


def _string(value: Any) -> str:
    if isinstance(value, bool | list | dict):
        raise TypeError
    return str(value)


def _number(value: Any) -> float | int:
    if isinstance(value, bool | list | dict):
        raise TypeError
    return value if isinstance(value, int | float) else _finite(value)


def _finite(text: str) -> float | int:
    number = msgspec.json.decode(text, type=int | float)
    return int(number) if isinstance(number, int) else float(number)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).lower() if isinstance(value, str | int) else ""
    if text not in _TRUE | _FALSE:
        raise ValueError(text)
    return text in _TRUE


def _time(value: Any) -> Any:
    if isinstance(value, bool):
        raise TypeError
    if not isinstance(value, int | float):
        datetime.fromisoformat(value)
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    _check_object(value, 1)
    return value


def _check_object(value: Any, level: int) -> None:
    if level > NESTING_MAX_LEVELS:
        raise CatalogError(
            "too-deep-nesting-in-value-object", f"Objects nest at most {NESTING_MAX_LEVELS} levels"
        )
    if isinstance(value, dict):
        wrong = [key for key in value if "." in key or "$" in key]
        if wrong:
            raise CatalogError(
                "invalid-keys-in-value-object", "Keys of objects hold no dot and no dollar", values=wrong
            )
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        _check_object(child, level + 1)


def _strings(value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > ARRAY_MAX_ELEMENTS:
        raise ValueError
    if not all(isinstance(one, str) for one in value):
        raise TypeError
    return value


def _geo(value: Any) -> list[float]:
    longitude, latitude = (_number(one) for one in value)
    if isinstance(value, str) or abs(longitude) > 180 or abs(latitude) > 90:
        raise ValueError(value)
    return [longitude, latitude]


_TRUE, _FALSE = {"true", "1", "t"}, {"false", "0", "f"}
_COERCIONS: dict[str, Callable[[Any], Any]] = {
    "string": _string,
    "number": _number,
    "boolean": _boolean,
    "time": _time,
    "object": _object,
    "array": _strings,
    "geo": _geo,
}
