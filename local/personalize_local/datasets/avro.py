"""Check the Avro schemas of datasets by the service's rules.

Rules: https://docs.aws.amazon.com/personalize/latest/dg/how-it-works-dataset-schema.html
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from personalize_local.errors import ApiError, invalid_input

NAMESPACE = "com.amazonaws.personalize.schema"
NUMERIC_TYPES = frozenset({"int", "long", "float", "double"})
_TYPES = NUMERIC_TYPES | {"string", "boolean"}
ID_COLUMNS = frozenset({"USER_ID", "ITEM_ID", "ACTION_ID"})
_MARKS = {"categorical": "categorical", "textual": "textual", "item_name": "itemName"}
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DOMAIN_FIELDS = {
    ("ECOMMERCE", "INTERACTIONS"): ("EVENT_TYPE",),
    ("ECOMMERCE", "ITEMS"): ("PRICE", "CATEGORY_L1"),
    ("VIDEO_ON_DEMAND", "INTERACTIONS"): ("EVENT_TYPE",),
    ("VIDEO_ON_DEMAND", "ITEMS"): ("GENRES", "CREATION_TIMESTAMP"),
}


@dataclass(frozen=True)
class Field:
    """One column."""

    name: str
    type: str
    nullable: bool = False
    categorical: bool = False
    textual: bool = False
    item_name: bool = False  # names the item, for aws-semantic-similarity

    @property
    def is_multi_value(self) -> bool:
        """Return whether a cell may have several values, separated by `|`."""
        return self.categorical or self.name == "IMPRESSION"

    @property
    def most_characters(self) -> int:
        """Return the maximum length of a value; a textual field is cut to it."""
        # https://docs.aws.amazon.com/personalize/latest/dg/limits.html
        if self.textual:
            return 20_000
        return 256 if self.name in ID_COLUMNS else 1000


@dataclass(frozen=True)
class DatasetSchema:
    """Columns of one dataset; `dataset_type` as in ARNs, e.g. `INTERACTIONS`."""

    dataset_type: str
    fields: tuple[Field, ...]

    @property
    def names(self) -> list[str]:
        """Return the column names in schema order."""
        return [field.name for field in self.fields]


@dataclass(frozen=True)
class _Reserved:
    type: str
    nullable: bool = False
    required: bool = False


@dataclass(frozen=True)
class _Rules:
    dataset_type: str
    reserved: dict[str, _Reserved]
    # Quotas: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
    most_metadata_fields: int
    needs_metadata: bool = False


_ID = _Reserved("string", required=True)
_TIME = _Reserved("long", required=True)
_OPTIONAL_STRING = _Reserved("string", nullable=True)
_OPTIONAL_LONG = _Reserved("long", nullable=True)

_RULES = {
    "Interactions": _Rules(
        "INTERACTIONS",
        {
            "USER_ID": _ID,
            "ITEM_ID": _ID,
            "TIMESTAMP": _TIME,
            "EVENT_TYPE": _Reserved("string"),
            "EVENT_VALUE": _Reserved("float", nullable=True),
            "IMPRESSION": _OPTIONAL_STRING,
            "RECOMMENDATION_ID": _OPTIONAL_STRING,
            "EVENT_ATTRIBUTION_SOURCE": _OPTIONAL_STRING,
        },
        most_metadata_fields=5,
    ),
    "Users": _Rules("USERS", {"USER_ID": _ID}, 25, needs_metadata=True),
    "Items": _Rules(
        "ITEMS", {"ITEM_ID": _ID, "CREATION_TIMESTAMP": _OPTIONAL_LONG}, 100, needs_metadata=True
    ),
    "Actions": _Rules(
        "ACTIONS",
        {
            "ACTION_ID": _ID,
            "CREATION_TIMESTAMP": _Reserved("long"),
            "VALUE": _OPTIONAL_LONG,
            "TYPE": _OPTIONAL_STRING,
            # The guide uses both names.
            "ACTION_EXPIRATION_TIMESTAMP": _OPTIONAL_LONG,
            "EXPIRATION_TIMESTAMP": _OPTIONAL_LONG,
            "REPEAT_FREQUENCY": _OPTIONAL_LONG,
        },
        most_metadata_fields=10,
        needs_metadata=True,
    ),
    "ActionInteractions": _Rules(
        "ACTION_INTERACTIONS",
        {
            "USER_ID": _ID,
            "ACTION_ID": _ID,
            "EVENT_TYPE": _ID,
            "TIMESTAMP": _TIME,
            "IMPRESSION": _OPTIONAL_STRING,
            "RECOMMENDATION_ID": _OPTIONAL_STRING,
        },
        most_metadata_fields=0,
    ),
}
DATASET_TYPES = tuple(rules.dataset_type for rules in _RULES.values())


def parse_schema(text: str, domain: str | None = None) -> DatasetSchema:
    """Parse and check an Avro schema; raise InvalidInputException."""
    record = _record(text)
    rules = _RULES.get(record["name"])
    if rules is None:
        raise _invalid(f"the name must be one of {', '.join(_RULES)}, not {record['name']}")
    fields = tuple(_field(entry) for entry in record["fields"])
    _check_names(fields)
    _check_reserved(fields, rules)
    _check_metadata(fields, rules)
    names = {field.name for field in fields}
    missing = [
        name for name in _DOMAIN_FIELDS.get((domain or "", rules.dataset_type), ()) if name not in names
    ]
    if missing:
        raise _invalid(f"domain {domain} requires the fields {', '.join(missing)}")
    return DatasetSchema(rules.dataset_type, fields)


def _invalid(problem: str) -> ApiError:
    return invalid_input(f"Invalid schema: {problem}.")


def _record(text: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"it is not JSON ({error})") from error
    if not isinstance(record, dict) or record.get("type") != "record":
        raise _invalid('it must be an Avro record ("type": "record")')
    if record.get("namespace") != NAMESPACE:
        raise _invalid(f"the namespace must be {NAMESPACE}")
    if record.get("version") != "1.0":
        raise _invalid('the version must be "1.0"')
    if not isinstance(record.get("name"), str) or not isinstance(record.get("fields"), list):
        raise _invalid("it must have a name and a list of fields")
    return record


def _field(entry: Any) -> Field:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise _invalid("every field must have a name")
    name = entry["name"]
    if not _FIELD_NAME.fullmatch(name):
        raise _invalid(f"{name} is not a valid field name")
    avro_type, nullable = _type(name, entry.get("type"))
    marks = {mark: entry.get(key) is True for mark, key in _MARKS.items()}
    field = Field(name, avro_type, nullable, **marks)
    if any(marks.values()) and field.type != "string":
        raise _invalid(f"field {name} must be a string to be categorical, textual or the item's name")
    if field.categorical and field.textual:
        raise _invalid(f"field {name} cannot be both categorical and textual")
    return field


def _type(name: str, declared: Any) -> tuple[str, bool]:
    union = declared if isinstance(declared, list) else [declared]
    types = [entry for entry in union if entry != "null"]
    if len(types) != 1 or not isinstance(types[0], str) or types[0] not in _TYPES:
        raise _invalid(
            f"field {name} must have one of the types {', '.join(sorted(_TYPES))}, or null and one"
        )
    return types[0], len(types) < len(union)


def _check_names(fields: tuple[Field, ...]) -> None:
    seen: dict[str, str] = {}
    for field in fields:
        # The service compares names by letters and digits only.
        bare = re.sub(r"[^A-Za-z0-9]", "", field.name).upper()
        if bare in seen:
            raise _invalid(f"fields {seen[bare]} and {field.name} have the same name")
        seen[bare] = field.name


def _check_reserved(fields: tuple[Field, ...], rules: _Rules) -> None:
    by_name = {field.name: field for field in fields}
    missing = [name for name, reserved in rules.reserved.items() if reserved.required and name not in by_name]
    if missing:
        raise _invalid(f"required fields are missing: {', '.join(missing)}")
    for name, reserved in rules.reserved.items():
        field = by_name.get(name)
        if field is None:
            continue
        if field.type != reserved.type:
            raise _invalid(f"field {name} must have the type {reserved.type}")
        if field.nullable and not reserved.nullable:
            raise _invalid(f"field {name} cannot be null")
        if field.categorical or field.textual or field.item_name:
            raise _invalid(f"field {name} cannot be categorical, textual or the item's name")


def _check_metadata(fields: tuple[Field, ...], rules: _Rules) -> None:
    required = {name for name, reserved in rules.reserved.items() if reserved.required}
    metadata = [field for field in fields if field.name not in rules.reserved]
    if rules.needs_metadata and not [field for field in fields if field.name not in required]:
        raise _invalid("at least one metadata field is required")
    if len(metadata) > rules.most_metadata_fields:
        raise _invalid(f"there can be at most {rules.most_metadata_fields} metadata fields")
    for mark in ("textual", "item_name"):
        marked = [field.name for field in metadata if getattr(field, mark)]
        if marked and rules.dataset_type != "ITEMS":
            raise _invalid(f"field {marked[0]} cannot be {_MARKS[mark]}: only Items have such a field")
        if len(marked) > 1:
            raise _invalid(f"there can be at most one {_MARKS[mark]} field, not {', '.join(marked)}")
