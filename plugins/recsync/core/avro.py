"""The Avro schema of a Personalize dataset: which columns an export must write, in which order and type.

https://docs.aws.amazon.com/personalize/latest/dg/how-it-works-dataset-schema.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from recsync.core.program import DatasetType

RECORD_NAMES = {
    DatasetType.INTERACTIONS: "Interactions",
    DatasetType.USERS: "Users",
    DatasetType.ITEMS: "Items",
}
REQUIRED = {
    DatasetType.INTERACTIONS: {"USER_ID": "string", "ITEM_ID": "string", "TIMESTAMP": "long"},
    DatasetType.USERS: {"USER_ID": "string"},
    DatasetType.ITEMS: {"ITEM_ID": "string"},
}
TYPES = frozenset({"string", "int", "long", "float", "double", "boolean", "null"})
# Users and Items need at least one metadata field beside the id.
MIN_FIELDS = {DatasetType.INTERACTIONS: 3, DatasetType.USERS: 2, DatasetType.ITEMS: 2}


@dataclass(frozen=True)
class AvroField:
    """One column: ``type`` is the non-null Avro type."""

    name: str
    type: str
    nullable: bool


@dataclass(frozen=True)
class AvroSchema:
    """A checked schema; ``fields`` in the order in which the CSV must have its columns."""

    text: str
    fields: tuple[AvroField, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names in schema order."""
        return tuple(field.name for field in self.fields)

    @classmethod
    def parse(cls, text: str, dataset_type: DatasetType) -> AvroSchema:
        """Check the text of a schema file.

        :raises ValueError: what is wrong and what is allowed.
        """
        try:
            document = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"not valid JSON: line {error.lineno}: {error.msg}") from None
        if not isinstance(document, dict) or document.get("type") != "record":
            raise ValueError("an Avro schema of Personalize is an object with type: record")
        if document.get("name") != RECORD_NAMES[dataset_type]:
            raise ValueError(f"name is {document.get('name')!r}, must be {RECORD_NAMES[dataset_type]!r}")
        fields = tuple(_field(raw) for raw in document.get("fields", []))
        _check_fields(fields, dataset_type)
        return cls(text=json.dumps(document), fields=fields)


def _field(raw: object) -> AvroField:
    if not isinstance(raw, dict) or not isinstance(raw.get("name"), str):
        raise ValueError(f"field {raw!r} has no name")
    kinds = raw.get("type")
    union = [kinds] if isinstance(kinds, str) else kinds
    if not isinstance(union, list) or not union or not set(map(str, union)) <= TYPES:
        raise ValueError(
            f"field {raw['name']}: type {kinds!r}; allowed are {sorted(TYPES)} and unions with null"
        )
    real = [kind for kind in union if kind != "null"]
    if len(real) != 1:
        raise ValueError(f"field {raw['name']}: a union holds one type and null, not {union}")
    return AvroField(raw["name"], real[0], "null" in union)


def _check_fields(fields: tuple[AvroField, ...], dataset_type: DatasetType) -> None:
    by_name = {field.name: field for field in fields}
    for name, kind in REQUIRED[dataset_type].items():
        field = by_name.get(name)
        if field is None or field.type != kind or field.nullable:
            raise ValueError(f"needs field {name} of type {kind}, not null")
    if len(fields) < MIN_FIELDS[dataset_type]:
        raise ValueError(f"needs at least one metadata field beside {', '.join(REQUIRED[dataset_type])}")
