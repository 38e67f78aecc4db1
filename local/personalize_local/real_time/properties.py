"""Parse the `properties` of streamed records: JSON with the schema's fields in camel case as keys.

https://docs.aws.amazon.com/personalize/latest/dg/importing-individual-records.html
"""

from __future__ import annotations

import json
import math
from typing import Any

from personalize_local.datasets.avro import ID_COLUMNS, NUMERIC_TYPES, DatasetSchema, Field
from personalize_local.errors import ApiError, invalid_input

Cell = str | int | float | bool | None

_WHOLE_RANGES = {"int": 2**31, "long": 2**63}


def camel_case(name: str) -> str:
    """Return the key of a field: `CREATION_TIMESTAMP` is `creationTimestamp`, `genres` is `genres`."""
    first, *others = name.split("_")
    if not others and not name.isupper():
        return name
    return first.lower() + "".join(word[:1].upper() + word[1:].lower() for word in others)


def read_properties(text: str | None) -> dict[str, Any]:
    """Parse a properties text; empty without one."""
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        # The service's message for any invalid text.
        raise invalid_input("Error parsing properties json")
    return found


def cells_of(schema: DatasetSchema, given: dict[str, Cell], properties: dict[str, Any]) -> dict[str, Cell]:
    """Return one row by column name, from the request's members and its properties.

    :raises ApiError: InvalidInputException for an unknown key, a wrong type, or a null in a non-nullable field.
    """
    keys = {camel_case(field.name): field.name for field in schema.fields}
    unknown = [key for key in properties if key not in keys]
    if unknown:
        raise invalid_input(f"properties has keys that are not in the schema: {', '.join(sorted(unknown))}.")
    # The request's members override its properties.
    row = {keys[key]: value for key, value in properties.items()} | {
        name: value for name, value in given.items() if value is not None
    }
    return {field.name: _cell(row.get(field.name), field) for field in schema.fields}


def _cell(value: Any, field: Field) -> Cell:
    if value is None:
        if not field.nullable:
            raise invalid_input(f"A value of {field.name} is required: its schema does not allow null.")
        return None
    if field.type == "string":
        return _text(value, field)
    if field.type in NUMERIC_TYPES:
        return _number(value, field)
    if isinstance(value, bool):
        return value
    raise _wrong_type(field)


def _text(value: Any, field: Field) -> str:
    if not isinstance(value, str) or not _is_text(value):
        raise _wrong_type(field)
    if field.textual:
        return value[: field.most_characters]
    longest = field.most_characters
    parts = value.split("|") if field.is_multi_value else [value]
    if max(map(len, parts)) > longest:
        raise invalid_input(f"Length cannot be more than {longest} characters for {field.name}.")
    if field.name in ID_COLUMNS and not value:
        raise invalid_input(f"A value of {field.name} is required.")
    return value


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _number(value: Any, field: Field) -> int | float:
    # Older examples of the guide have numbers as strings.
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _wrong_type(field)
    try:
        number = value if isinstance(value, int) else float(value)
        finite = math.isfinite(number)
    except (ValueError, OverflowError):
        raise _wrong_type(field) from None
    if not finite:
        raise _wrong_type(field)
    if field.type not in _WHOLE_RANGES:
        return float(number)
    limit = _WHOLE_RANGES[field.type]
    if number != int(number) or not -limit <= number < limit:
        raise _wrong_type(field)
    # A long in quotes keeps all its digits.
    return int(value) if isinstance(value, str) and value.lstrip("-").isdigit() else int(number)


def _wrong_type(field: Field) -> ApiError:
    return invalid_input(f"The value of {field.name} is not of type {field.type}.")
