"""The rules of schemas, on one broken schema each, and agreement with the sandbox's own rules."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from personalize_local.datasets.avro import parse_schema
from recsync.program import DatasetType
from recsync.program.avro import AvroField, AvroSchema

REPO = Path(__file__).resolve().parents[3]
USER = {"name": "USER_ID", "type": "string"}
ITEM = {"name": "ITEM_ID", "type": "string"}
TIME = {"name": "TIMESTAMP", "type": "long"}
PRICE = {"name": "PRICE", "type": ["null", "float"]}
NAMES = {kind.folder: kind for kind in DatasetType}


def record(name: str, *fields: Any, **changes: Any) -> dict[str, Any]:
    document = {
        "type": "record",
        "name": name,
        "namespace": "com.amazonaws.personalize.schema",
        "version": "1.0",
        "fields": list(fields),
    }
    return {**document, **changes}


def interactions(*fields: Any, **changes: Any) -> dict[str, Any]:
    return record("Interactions", USER, ITEM, TIME, *fields, **changes)


def items(*fields: Any) -> dict[str, Any]:
    return record("Items", ITEM, *fields)


def users(*fields: Any) -> dict[str, Any]:
    return record("Users", USER, *fields)


def parse(document: dict[str, Any]) -> AvroSchema:
    return AvroSchema.parse(json.dumps(document), NAMES[document["name"].lower()])


def numbers(count: int) -> list[dict[str, Any]]:
    return [{"name": f"N{n}", "type": "int"} for n in range(count)]


GOOD = [
    interactions(),
    interactions(
        {"name": "EVENT_TYPE", "type": "string"},
        {"name": "EVENT_VALUE", "type": ["float", "null"]},
        {"name": "IMPRESSION", "type": ["null", "string"]},
        {"name": "RECOMMENDATION_ID", "type": ["null", "string"]},
        {"name": "EVENT_ATTRIBUTION_SOURCE", "type": ["null", "string"]},
        *numbers(5),
    ),
    users({"name": "CLUB", "type": "string", "categorical": True}),
    users(*numbers(25)),
    items(PRICE, {"name": "CREATION_TIMESTAMP", "type": ["null", "long"]}),
    items(
        {"name": "DESCRIPTION", "type": "string", "textual": True},
        {"name": "TITLE", "type": "string", "itemName": True},
        *numbers(98),
    ),
]


@pytest.mark.parametrize("document", GOOD)
def test_sound_schemas_pass_here_and_in_the_sandbox(document: dict[str, Any]) -> None:
    names = tuple(field["name"] for field in document["fields"])
    assert parse(document).columns == names
    assert tuple(parse_schema(json.dumps(document)).names) == names


BAD = [
    (interactions(namespace="x"), "namespace is 'x', must be 'com.amazonaws.personalize.schema'"),
    (interactions(version=1.0), "version is 1.0, must be '1.0'"),
    (interactions(fields={}), "fields must be a list"),
    (interactions(fields=[]), "fields must be a list"),
    (interactions(doc="x" * 20_000), "at most 20,000 are allowed"),
    (record("Interactions", USER, TIME), "needs field ITEM_ID of type string, not null"),
    (record("Interactions", USER, ITEM, {"name": "TIMESTAMP", "type": "int"}), "TIMESTAMP of type long"),
    (
        record("Interactions", {"name": "USER_ID", "type": ["null", "string"]}, ITEM, TIME),
        "USER_ID of type string, not null",
    ),
    (interactions({"type": "string"}), "field 4 ({'type': 'string'}) has no name"),
    (interactions("EVENT_TYPE"), "field 4 ('EVENT_TYPE') has no name"),
    (interactions({"name": "2ND", "type": "int"}), "field 2ND: a name has letters"),
    (interactions({"name": "N", "type": "decimal"}), "field N: type 'decimal'; allowed are string, int"),
    (interactions({"name": "N", "type": {"type": "array", "items": "int"}}), "schemas are flat"),
    (interactions({"name": "N", "type": ["null", {"type": "map"}]}), "schemas are flat"),
    (interactions({"name": "N", "type": ["int", "string"]}), "field N: type ['int', 'string']"),
    (interactions({"name": "N", "type": ["null", "null", "int"]}), "field N: type ['null', 'null', 'int']"),
    (interactions({"name": "N", "type": "null"}), "field N: type 'null'"),
    (interactions({"name": "N"}), "field N: type None"),
    (interactions({"name": "N", "type": "boolean"}), "use a categorical string of True and False"),
    (
        interactions({"name": "EVENT_TYPE", "type": "string", "categorical": True}),
        "field EVENT_TYPE is reserved and cannot be categorical",
    ),
    (
        interactions({"name": "EVENT_TYPE", "type": ["null", "string"]}),
        "EVENT_TYPE of type string, not null",
    ),
    (
        interactions({"name": "EVENT_VALUE", "type": "double"}),
        "needs field EVENT_VALUE of type float, or null",
    ),
    (interactions({"name": "IMPRESSION", "type": "int"}), "needs field IMPRESSION of type string"),
    (items(PRICE, {"name": "CREATION_TIMESTAMP", "type": "string"}), "CREATION_TIMESTAMP of type long"),
    (items({"name": "BRAND", "type": "string", "categorical": "true"}), "must be true or false"),
    (items(PRICE, {"name": "N", "type": "int", "categorical": True}), "only a string can be categorical"),
    (items(PRICE, {"name": "BRAND", "type": "string", "categorial": True}), "unknown attribute categorial"),
    (
        items({"name": "TEXT", "type": "string", "textual": True, "categorical": True}),
        "categorical and textual exclude each other",
    ),
    (
        items(*({"name": name, "type": "string", "textual": True} for name in ("TEXT", "MORE"))),
        "TEXT, MORE: at most one field can be textual",
    ),
    (users(*numbers(1), {"name": "TEXT", "type": "string", "textual": True}), "only Items can have a field"),
    (interactions({"name": "TITLE", "type": "string", "itemName": True}), "only Items can have a field"),
    (interactions(*numbers(6)), "6 metadata fields, at most 5"),
    (users(*numbers(26)), "26 metadata fields, at most 25"),
    (items(*numbers(101)), "101 metadata fields, at most 100"),
    (users(), "needs at least one metadata field beside USER_ID"),
    (users({"name": "CITY", "type": "string"}), "used in training"),
    (items({"name": "CREATION_TIMESTAMP", "type": "long"}), "needs at least one metadata field"),
    (items(PRICE, PRICE), "fields PRICE and PRICE have the same name"),
    (items(PRICE, {"name": "price", "type": "float"}), "fields PRICE and price have the same name"),
    (
        items({"name": "GENRES_FIELD_1", "type": "int"}, {"name": "GENRESFIELD1", "type": "int"}),
        "fields GENRES_FIELD_1 and GENRESFIELD1",
    ),
]


@pytest.mark.parametrize(("document", "expected"), BAD, ids=[expected for _, expected in BAD])
def test_a_broken_rule_is_named(document: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=re.escape(expected)):
        parse(document)


def test_all_problems_come_at_once() -> None:
    document = items({"name": "A_B", "type": "boolean"}, {"name": "AB", "type": "decimal"})
    document["version"] = "2"
    with pytest.raises(ValueError, match="version is '2'") as caught:
        parse(document)
    problems = str(caught.value).split("; ")
    assert "version is '2', must be '1.0'" in problems
    assert any(problem.startswith("field A_B: type boolean") for problem in problems)
    assert any(problem.startswith("field AB: type 'decimal'") for problem in problems)
    assert any(problem.startswith("fields A_B and AB") for problem in problems)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "not valid JSON: line 1"),
        ("[]", "an object with type: record"),
        ('{"type": "array"}', "an object with type: record"),
    ],
)
def test_what_is_no_record_is_named(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        AvroSchema.parse(text, DatasetType.ITEMS)


def test_fields_say_what_they_are() -> None:
    schema = parse(
        items(
            PRICE,
            {"name": "BRAND", "type": ["string", "null"], "categorical": True},
            {"name": "TEXT", "type": "string", "textual": True},
            {"name": "CREATION_TIMESTAMP", "type": "long"},
        )
    )
    assert schema.fields == (
        AvroField("ITEM_ID", "string", nullable=False),
        AvroField("PRICE", "float", nullable=True),
        AvroField("BRAND", "string", nullable=True, categorical=True),
        AvroField("TEXT", "string", nullable=False, textual=True),
        AvroField("CREATION_TIMESTAMP", "long", nullable=False),
    )
    assert [field.name for field in schema.metadata] == ["PRICE", "BRAND", "TEXT"]


@pytest.mark.parametrize(
    "path", sorted((REPO / "include" / "schemas").glob("*/*.json")), ids=lambda p: p.name
)
def test_the_committed_schemas_are_sound(path: Path) -> None:
    assert AvroSchema.parse(path.read_text(), NAMES[path.stem]).columns
