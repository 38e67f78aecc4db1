"""The Avro schemas of Personalize datasets, their rules, and what a column's values are.

https://docs.aws.amazon.com/personalize/latest/dg/how-it-works-dataset-schema.html
https://docs.aws.amazon.com/personalize/latest/dg/custom-datasets-and-schemas.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from typing import Any

from recsync.program import DatasetType

NAMESPACE = "com.amazonaws.personalize.schema"
VERSION = "1.0"
# https://docs.aws.amazon.com/personalize/latest/dg/API_CreateSchema.html
MAX_SCHEMA_CHARACTERS = 20_000
TYPES = ("string", "int", "long", "float", "double")
NUMBERS = TYPES[1:]
_ATTRIBUTES = ("categorical", "textual", "itemName")
# "doc" and "default" are Avro's own and mean nothing to the service.
_KEYS = frozenset({"name", "type", "doc", "default", *_ATTRIBUTES})
# https://avro.apache.org/docs/1.11.1/specification/#names
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Role(Enum):
    """Which checks the values of a column fall under."""

    ID = auto()
    TIMESTAMP = auto()
    CREATION_TIMESTAMP = auto()
    EVENT_TYPE = auto()
    IMPRESSION = auto()
    CATEGORY = auto()
    TEXTUAL = auto()
    TEXT = auto()
    NUMBER = auto()


IDS = ("USER_ID", "ITEM_ID", "ACTION_ID")
_TIMES = {"TIMESTAMP": Role.TIMESTAMP, "CREATION_TIMESTAMP": Role.CREATION_TIMESTAMP}
_TEXTS = {**dict.fromkeys(IDS, Role.ID), "EVENT_TYPE": Role.EVENT_TYPE, "IMPRESSION": Role.IMPRESSION}
# What interactions may hold beside metadata.
_RESERVED = {*_TEXTS, "TIMESTAMP", "EVENT_VALUE", "RECOMMENDATION_ID", "EVENT_ATTRIBUTION_SOURCE"}


@dataclass(frozen=True)
class AvroField:
    """One column: ``type`` is the non-null Avro type."""

    name: str
    type: str
    nullable: bool
    categorical: bool = False
    textual: bool = False
    item_name: bool = False

    @property
    def trains(self) -> bool:
        """Whether a metadata field is used in training: a plain string serves filters only."""
        return self.categorical or self.textual or self.is_number

    @cached_property
    def role(self) -> Role:
        """Which checks its values fall under."""
        if self.is_number:
            return _TIMES.get(self.name, Role.NUMBER)
        if self.categorical:
            return Role.CATEGORY
        return Role.TEXTUAL if self.textual else _TEXTS.get(self.name, Role.TEXT)

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers."""
        return self.type in NUMBERS

    @property
    def is_dictionary(self) -> bool:
        """Whether it is read as a dictionary, as its values are few: checks look at each value once per block."""
        return self.role in {Role.EVENT_TYPE, Role.CATEGORY}

    @property
    def is_joined(self) -> bool:
        """Whether a cell holds several values, joined with ``|``."""
        return self.role in {Role.CATEGORY, Role.IMPRESSION}


@dataclass(frozen=True)
class DatasetRules:
    """The fields of one dataset.

    :param record: the schema's ``name``.
    :param required: name -> type; never null.
    :param reserved: fields that may be there, name -> type; those of ``not_null`` never null.
    """

    record: str
    required: dict[str, str]
    reserved: dict[str, str]
    not_null: frozenset[str]
    # Quotas: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
    max_metadata: int
    min_metadata: int = 1

    @property
    def fixed(self) -> dict[str, str]:
        """Return the types of the fields that the service defines."""
        return self.required | self.reserved


RULES = {
    DatasetType.INTERACTIONS: DatasetRules(
        record="Interactions",
        required={"USER_ID": "string", "ITEM_ID": "string", "TIMESTAMP": "long"},
        reserved={
            "EVENT_TYPE": "string",
            "EVENT_VALUE": "float",
            "IMPRESSION": "string",
            "RECOMMENDATION_ID": "string",
            "EVENT_ATTRIBUTION_SOURCE": "string",
        },
        not_null=frozenset({"EVENT_TYPE"}),
        max_metadata=5,
        min_metadata=0,
    ),
    DatasetType.USERS: DatasetRules("Users", {"USER_ID": "string"}, {}, frozenset(), max_metadata=25),
    DatasetType.ITEMS: DatasetRules(
        "Items", {"ITEM_ID": "string"}, {"CREATION_TIMESTAMP": "long"}, frozenset(), max_metadata=100
    ),
    # https://docs.aws.amazon.com/personalize/latest/dg/actions-datasets.html
    DatasetType.ACTIONS: DatasetRules(
        "Actions",
        {"ACTION_ID": "string"},
        {
            "CREATION_TIMESTAMP": "long",
            "VALUE": "long",
            "TYPE": "string",
            # The guide spells it both ways.
            "ACTION_EXPIRATION_TIMESTAMP": "long",
            "EXPIRATION_TIMESTAMP": "long",
            "REPEAT_FREQUENCY": "long",
        },
        frozenset({"CREATION_TIMESTAMP"}),
        max_metadata=10,
        min_metadata=0,
    ),
    # https://docs.aws.amazon.com/personalize/latest/dg/action-interactions-datasets.html
    DatasetType.ACTION_INTERACTIONS: DatasetRules(
        "ActionInteractions",
        {"USER_ID": "string", "ACTION_ID": "string", "EVENT_TYPE": "string", "TIMESTAMP": "long"},
        {"IMPRESSION": "string", "RECOMMENDATION_ID": "string"},
        frozenset(),
        max_metadata=0,
        min_metadata=0,
    ),
}


# Fields that no schema may make nullable.
NEVER_NULL = frozenset(name for rules in RULES.values() for name in (*rules.required, *rules.not_null))


def own_id(dataset_type: DatasetType) -> str | None:
    """Return the column that names a row of users, items or actions; None for interactions."""
    found = {DatasetType.USERS: "USER_ID", DatasetType.ITEMS: "ITEM_ID", DatasetType.ACTIONS: "ACTION_ID"}
    return found.get(dataset_type)


def subject_id(dataset_type: DatasetType) -> str:
    """Return the column with the item or action of an interaction."""
    return "ACTION_ID" if dataset_type is DatasetType.ACTION_INTERACTIONS else "ITEM_ID"


def _record_problems(document: dict[str, Any], dataset_type: DatasetType) -> Iterator[str]:
    wanted = {"name": RULES[dataset_type].record, "namespace": NAMESPACE, "version": VERSION}
    for key, value in wanted.items():
        if document.get(key) != value:
            yield f"{key} is {document.get(key)!r}, must be {value!r}"
    if not isinstance(document.get("fields"), list) or not document["fields"]:
        yield "fields must be a list of fields"


def _read_fields(raw_fields: Sequence[Any]) -> tuple[list[AvroField], list[str]]:
    """Read ``fields``.

    :returns: the fields that can be read, and the mistakes in each.
    """
    fields, problems = [], []
    for position, raw in enumerate(raw_fields, 1):
        if not isinstance(raw, dict) or not isinstance(raw.get("name"), str):
            problems.append(f"field {position} ({raw!r}) has no name")
            continue
        problems += [f"field {raw['name']}: {problem}" for problem in _field_problems(raw)]
        kind, nullable = next(iter(_types(raw)), ""), "null" in _union(raw)
        marks = [raw.get(attribute) is True for attribute in _ATTRIBUTES]
        fields.append(AvroField(raw["name"], kind, nullable, *marks))
    return fields, problems


def _union(raw: dict[str, Any]) -> list[Any]:
    kinds = raw.get("type")
    return kinds if isinstance(kinds, list) else [kinds]


def _types(raw: dict[str, Any]) -> list[str]:
    return [kind for kind in _union(raw) if isinstance(kind, str) and kind != "null"]


def _field_problems(raw: dict[str, Any]) -> Iterator[str]:
    if not _NAME.fullmatch(raw["name"]):
        yield "a name has letters, digits and _, and does not begin with a digit"
    union, real = _union(raw), _types(raw)
    allowed = f"allowed are {', '.join(TYPES)}, and lists of one of them and null"
    if any(not isinstance(kind, str) for kind in union):
        yield f"type {raw.get('type')!r}; schemas are flat, {allowed}"
    elif "boolean" in real:
        yield (
            "type boolean serves neither training nor filters; use a categorical string of True and False, "
            "or an int of 0 and 1"
        )
    elif len(real) != 1 or real[0] not in TYPES or len(union) > 2:
        yield f"type {raw.get('type')!r}; {allowed}"
    if unknown := sorted(set(raw) - _KEYS):
        yield f"unknown attribute {', '.join(unknown)}; allowed are {', '.join(_ATTRIBUTES)}"
    for attribute in _ATTRIBUTES:
        value = raw.get(attribute, False)
        if not isinstance(value, bool):
            yield f"{attribute} is {value!r}, must be true or false without quotes"
        elif value and real != ["string"]:
            yield f"only a string can be {attribute}"
    if raw.get("categorical") is True and raw.get("textual") is True:
        yield "categorical and textual exclude each other"


def _schema_problems(
    fields: Sequence[AvroField], raw_fields: Sequence[Any], dataset_type: DatasetType
) -> Iterator[str]:
    rules = RULES[dataset_type]
    seen: dict[str, str] = {}
    for field in fields:
        # The service drops all but letters and digits before it compares; warehouses ignore letter case.
        bare = re.sub(r"[^A-Za-z0-9]", "", field.name).casefold()
        if bare in seen:
            yield f"fields {seen[bare]} and {field.name} have the same name but for case and special characters"
        seen.setdefault(bare, field.name)
    yield from _fixed_problems(fields, raw_fields, rules)
    metadata = [field for field in fields if field.name not in rules.fixed]
    if len(metadata) > rules.max_metadata:
        yield f"{len(metadata)} metadata fields, at most {rules.max_metadata} are allowed"
    if rules.min_metadata and not any(field.trains for field in metadata):
        yield (
            f"needs at least one metadata field beside {', '.join(rules.fixed)} that is used in training: a number, "
            'or a string with "categorical": true'
        )
    for attribute in _ATTRIBUTES[1:]:
        named = [
            str(raw.get("name")) for raw in raw_fields if isinstance(raw, dict) and raw.get(attribute) is True
        ]
        if named and dataset_type is not DatasetType.ITEMS:
            yield f"{', '.join(named)}: only Items can have a field that is {attribute}"
        elif len(named) > 1:
            yield f"{', '.join(named)}: at most one field can be {attribute}"


def _fixed_problems(
    fields: Sequence[AvroField], raw_fields: Sequence[Any], rules: DatasetRules
) -> Iterator[str]:
    by_name = {field.name: field for field in fields}
    for name, kind in rules.fixed.items():
        field = by_name.get(name)
        never_null = name in rules.required or name in rules.not_null
        if field is None:
            if name in rules.required:
                yield f"needs field {name} of type {kind}, not null"
        elif field.type != kind or (field.nullable and never_null):
            yield f"needs field {name} of type {kind}, {'not null' if never_null else 'or null'}"
    for raw in raw_fields:
        fixed = isinstance(raw, dict) and raw.get("name") in rules.fixed
        if fixed and (marked := [attribute for attribute in _ATTRIBUTES if raw.get(attribute)]):
            yield f"field {raw['name']} is reserved and cannot be {' or '.join(marked)}"


@dataclass(frozen=True)
class AvroSchema:
    """A checked schema; ``fields`` in the order of the CSV's columns, ``metadata`` those that no rule fixes."""

    text: str
    fields: tuple[AvroField, ...]
    metadata: tuple[AvroField, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names in schema order."""
        return tuple(field.name for field in self.fields)

    @property
    def metadata_columns(self) -> int:
        """Count the columns of interactions that are metadata."""
        return sum(field.name not in _RESERVED for field in self.fields)

    @classmethod
    def parse(cls, text: str, dataset_type: DatasetType) -> AvroSchema:
        """Check the text of a schema file.

        :raises ValueError: all mistakes, joined by "; ".
        """
        try:
            document = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"not valid JSON: line {error.lineno}: {error.msg}") from None
        if not isinstance(document, dict) or document.get("type") != "record":
            raise ValueError("an Avro schema of Personalize is an object with type: record")
        compact = json.dumps(document)
        raw_fields = document.get("fields")
        raw_fields = raw_fields if isinstance(raw_fields, list) else []
        fields, field_problems = _read_fields(raw_fields)
        problems = [*_record_problems(document, dataset_type), *field_problems]
        if len(compact) > MAX_SCHEMA_CHARACTERS:
            problems.insert(0, f"{len(compact):,} characters, at most {MAX_SCHEMA_CHARACTERS:,} are allowed")
        if raw_fields:
            problems += _schema_problems(fields, raw_fields, dataset_type)
        if problems:
            raise ValueError("; ".join(problems))
        fixed = RULES[dataset_type].fixed
        return cls(compact, tuple(fields), tuple(field for field in fields if field.name not in fixed))
