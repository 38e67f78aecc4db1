"""The table of Braze attributes, and what the program file makes of it."""

from __future__ import annotations

import typing
from typing import Any

import pytest
from pydantic import ValidationError

from recsync.program.braze import SOURCES, AttributeSource, to_seconds
from recsync.program.parse import parse_program


def braze(**fields: Any) -> Any:
    return parse_program("shop", {"braze": {"attribute": "recs", **fields}}).braze


def test_every_source_of_the_program_file_is_in_the_table() -> None:
    assert set(typing.get_args(AttributeSource)) == set(SOURCES)


def test_the_list_comes_first_and_every_attribute_knows_where_it_is_named() -> None:
    section = braze(tier_attribute="tier", attributes=[{"name": "scores", "from": "scores"}])
    assert [(a.name, a.source.name, a.field) for a in section.written] == [
        ("recs", "items", ("attribute",)),
        ("tier", "tier", ("tier_attribute",)),
        ("scores", "scores", ("attributes", 0, "name")),
    ]
    assert section.attribute_names == ["recs", "tier", "scores"]
    assert braze().attribute_names == ["recs"]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"attributes": [{"name": "recs", "from": "scores"}]}, "recs is there twice"),
        (
            {"attributes": [{"name": "a", "from": "tier"}, {"name": "a", "from": "scores"}]},
            "a is there twice",
        ),
        ({"tier_attribute": "a", "attributes": [{"name": "a", "from": "scores"}]}, "a is there twice"),
        ({"attributes": [{"name": "email", "from": "scores"}]}, "profile field of Braze"),
        ({"attributes": [{"name": "a", "from": "items"}]}, "scores"),
        ({"attributes": [{"name": "a"}]}, "required"),
    ],
)
def test_attributes_that_cannot_be_are_refused(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        braze(**fields)


def test_a_time_is_in_utc_and_the_version_has_no_account_number() -> None:
    assert to_seconds("2026-02-01T00:30:00.9+01:00") == "2026-01-31T23:30:00Z"
    arn = "arn:aws:personalize:eu-west-1:123456789012:solution/shop-full/4f1e"
    assert SOURCES["version"].convert(arn) == "shop-full/4f1e"


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"attribute": "email"}, "email is a profile field of Braze"),
        ({"attribute": "recs", "payload": "objects"}, "needs item_fields"),
        ({"attribute": "recs", "tier_attribute": "recs"}, "tier_attribute must be another attribute"),
        ({"attribute": "recs", "identifier": "device_id"}, "external_id"),
        ({"attribute": "recs", "identifier": "user_alias"}, "alias_label belong together"),
        ({"attribute": "recs", "alias_label": "shop"}, "alias_label belong together"),
        (
            {"attribute": "recs", "catalog": {"name": "x", "fields": {"a": "string"}}, "status_catalog": "x"},
            "must be another catalog than catalog",
        ),
    ],
)
def test_sections_that_cannot_be_written_are_refused(section: dict[str, str], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        parse_program("shop", {"braze": section})


def test_an_alias_is_known_by_its_label() -> None:
    fields = {"attribute": "recs", "identifier": "user_alias", "alias_label": "shop"}
    assert parse_program("shop", {"braze": fields}).braze.known_by.tag == "user_alias:shop"


@pytest.mark.parametrize(
    ("identifier", "only_existing", "creates"),
    [("email", False, True), ("email", True, False), ("braze_id", False, False)],
)
def test_braze_gives_every_braze_id_itself(identifier: str, only_existing: bool, creates: bool) -> None:
    fields = {"attribute": "recs", "identifier": identifier, "update_existing_only": only_existing}
    assert parse_program("shop", {"braze": fields}).braze.creates_people is creates
