"""The rules that the schema of a Personalize dataset must keep, as far as its file shows.

https://docs.aws.amazon.com/personalize/latest/dg/how-it-works-dataset-schema.html
https://docs.aws.amazon.com/personalize/latest/dg/custom-datasets-and-schemas.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
        return self.categorical or self.textual or self.type in NUMBERS


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
        """Every field whose type the service fixes."""
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


def record_problems(document: dict[str, Any], dataset_type: DatasetType) -> Iterator[str]:
    """Yield what is wrong around the fields."""
    wanted = {"name": RULES[dataset_type].record, "namespace": NAMESPACE, "version": VERSION}
    for key, value in wanted.items():
        if document.get(key) != value:
            yield f"{key} is {document.get(key)!r}, must be {value!r}"
    if not isinstance(document.get("fields"), list) or not document["fields"]:
        yield "fields must be a list of fields"


def read_fields(raw_fields: Sequence[Any]) -> tuple[list[AvroField], list[str]]:
    """Read what stands in ``fields``.

    :returns: the fields that can be understood, and what is wrong with each one.
    """
    fields, problems = [], []
    for position, raw in enumerate(raw_fields, 1):
        if not isinstance(raw, dict) or not isinstance(raw.get("name"), str):
            problems.append(f"field {position} ({raw!r}) has no name")
            continue
        problems += [f"field {raw['name']}: {problem}" for problem in _field_problems(raw)]
        real = _types(raw)
        fields.append(
            AvroField(
                raw["name"],
                real[0] if real else "",
                "null" in _union(raw),
                categorical=raw.get("categorical") is True,
                textual=raw.get("textual") is True,
                item_name=raw.get("itemName") is True,
            )
        )
    return fields, problems


def _union(raw: dict[str, Any]) -> list[Any]:
    kinds = raw.get("type")
    return kinds if isinstance(kinds, list) else [kinds]


def _types(raw: dict[str, Any]) -> list[str]:
    return [kind for kind in _union(raw) if isinstance(kind, str) and kind != "null"]


def _field_problems(raw: dict[str, Any]) -> Iterator[str]:
    if not _NAME.fullmatch(raw["name"]):
        yield "a name has letters, digits and _, and does not begin with a digit"
    yield from _type_problems(raw)
    yield from _attribute_problems(raw)


def _type_problems(raw: dict[str, Any]) -> Iterator[str]:
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


def _attribute_problems(raw: dict[str, Any]) -> Iterator[str]:
    if unknown := sorted(set(raw) - _KEYS):
        yield f"unknown attribute {', '.join(unknown)}; allowed are {', '.join(_ATTRIBUTES)}"
    for attribute in _ATTRIBUTES:
        value = raw.get(attribute, False)
        if not isinstance(value, bool):
            yield f"{attribute} is {value!r}, must be true or false without quotes"
        elif value and _types(raw) != ["string"]:
            yield f"only a string can be {attribute}"
    if raw.get("categorical") is True and raw.get("textual") is True:
        yield "categorical and textual exclude each other"


def schema_problems(
    fields: Sequence[AvroField], raw_fields: Sequence[Any], dataset_type: DatasetType
) -> Iterator[str]:
    """Yield what is wrong with the fields taken together."""
    rules = RULES[dataset_type]
    yield from _name_problems(fields)
    yield from _fixed_problems(fields, raw_fields, rules)
    yield from _metadata_problems([field for field in fields if field.name not in rules.fixed], rules)
    for attribute in _ATTRIBUTES[1:]:
        named = [
            str(raw.get("name")) for raw in raw_fields if isinstance(raw, dict) and raw.get(attribute) is True
        ]
        if named and dataset_type is not DatasetType.ITEMS:
            yield f"{', '.join(named)}: only Items can have a field that is {attribute}"
        elif len(named) > 1:
            yield f"{', '.join(named)}: at most one field can be {attribute}"


def _name_problems(fields: Sequence[AvroField]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for field in fields:
        # The service drops all but letters and digits before it compares; warehouses do not tell cases apart.
        bare = re.sub(r"[^A-Za-z0-9]", "", field.name).casefold()
        if bare in seen:
            yield f"fields {seen[bare]} and {field.name} have the same name but for case and special characters"
        seen.setdefault(bare, field.name)


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
        if isinstance(raw, dict) and raw.get("name") in rules.fixed:
            marked = [attribute for attribute in _ATTRIBUTES if raw.get(attribute)]
            if marked:
                yield f"field {raw['name']} is reserved and cannot be {' or '.join(marked)}"


def _metadata_problems(metadata: Sequence[AvroField], rules: DatasetRules) -> Iterator[str]:
    if len(metadata) > rules.max_metadata:
        yield f"{len(metadata)} metadata fields, at most {rules.max_metadata} are allowed"
    if rules.min_metadata and not any(field.trains for field in metadata):
        beside = ", ".join(rules.fixed)
        yield (
            f"needs at least one metadata field beside {beside} that is used in training: a number, "
            'or a string with "categorical": true'
        )
