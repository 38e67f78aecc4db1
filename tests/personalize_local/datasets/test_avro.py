"""The service's rules for schemas."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

ID = {"name": "ITEM_ID", "type": "string"}
USER = {"name": "USER_ID", "type": "string"}
TIME = {"name": "TIMESTAMP", "type": "long"}
TITLE = {"name": "TITLE", "type": ["null", "string"]}


def schema(name: str, *fields: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": name,
        "namespace": "com.amazonaws.personalize.schema",
        "version": "1.0",
        "fields": list(fields),
        **changes,
    }


GOOD = [
    schema("Interactions", USER, ID, TIME, {"name": "EVENT_VALUE", "type": ["float", "null"]}),
    schema("Items", ID, TITLE, {"name": "DESCRIPTION", "type": "string", "textual": True}),
    schema(
        "Users", USER, {"name": "AGE", "type": "int"}, {"name": "CLUB", "type": "string", "categorical": True}
    ),
    schema("Actions", {"name": "ACTION_ID", "type": "string"}, {"name": "VALUE", "type": ["null", "long"]}),
    schema(
        "ActionInteractions",
        USER,
        {"name": "ACTION_ID", "type": "string"},
        {"name": "EVENT_TYPE", "type": "string"},
        TIME,
    ),
]
BAD = [
    ({"type": "array"}, "record"),
    (schema("Interactions", USER, ID, TIME, namespace="x"), "namespace"),
    (schema("Interactions", USER, ID, TIME, version="2"), "version"),
    (schema("Events", USER, ID, TIME), "name must be one of"),
    (schema("Interactions", USER, TIME), "ITEM_ID"),
    (
        schema("Interactions", USER, ID, {"name": "TIMESTAMP", "type": "int"}),
        "TIMESTAMP must have the type long",
    ),
    (schema("Interactions", {"name": "USER_ID", "type": ["null", "string"]}, ID, TIME), "cannot be null"),
    (
        schema("Interactions", USER, ID, TIME, {"name": "EVENT_TYPE", "type": "string", "categorical": True}),
        "cannot be categorical",
    ),
    (
        schema("Interactions", USER, ID, TIME, *({"name": f"M{n}", "type": "int"} for n in range(6))),
        "at most 5",
    ),
    (schema("Items", ID), "at least one metadata field"),
    (schema("Items", ID, {"name": "TAGS", "type": {"type": "array", "items": "string"}}), "one of the types"),
    (schema("Items", ID, {"name": "A", "type": ["string", "int"]}), "one of the types"),
    (schema("Items", ID, {"name": "PRICE", "type": "float", "categorical": True}), "must be a string"),
    (schema("Items", ID, TITLE, {"name": "TI_TLE", "type": "string"}), "same name"),
    (schema("Users", USER, {"name": "BIO", "type": "string", "textual": True}), "only Items"),
    (
        schema("Items", ID, *({"name": n, "type": "string", "textual": True} for n in ("A", "B"))),
        "at most one",
    ),
    (schema("Items", ID, {"name": "NO NAME", "type": "string"}), "not a valid field name"),
]


@pytest.mark.parametrize("record", GOOD, ids=lambda record: record["name"])
def test_good_schemas_read_back(world: Any, record: dict[str, Any]) -> None:
    text = json.dumps(record)
    found = world.personalize.describe_schema(schemaArn=world.schema(record))["schema"]
    assert found["schema"] == text
    assert "status" not in found


@pytest.mark.parametrize(("record", "problem"), BAD)
def test_bad_schemas_are_refused(
    world: Any, refused: Callable[..., Any], record: dict[str, Any], problem: str
) -> None:
    error = refused(world.personalize.create_schema, name="bad", schema=json.dumps(record))
    assert error.code == "InvalidInputException"
    assert problem in error.message


@pytest.mark.parametrize("text", ["{", "[" * 9000 + "]" * 9000])
def test_text_that_is_not_json_is_refused(world: Any, refused: Callable[..., Any], text: str) -> None:
    assert "not JSON" in refused(world.personalize.create_schema, name="bad", schema=text).message


def test_a_domain_requires_fields_of_its_own(world: Any, refused: Callable[..., Any]) -> None:
    text = json.dumps(schema("Interactions", USER, ID, TIME))
    error = refused(world.personalize.create_schema, name="d", schema=text, domain="ECOMMERCE")
    assert "EVENT_TYPE" in error.message


def test_a_dataset_takes_only_a_schema_of_its_type(world: Any, refused: Callable[..., Any]) -> None:
    group = world.group()
    create = world.personalize.create_dataset
    params = {"name": "d", "schemaArn": world.schema(GOOD[1]), "datasetGroupArn": group}
    assert "describes ITEMS" in refused(create, **params, datasetType="Users").message
    assert "Unknown dataset type" in refused(create, **params, datasetType="Baskets").message
