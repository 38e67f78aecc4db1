"""The thresholds of the program file."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from recsync.program import Checks
from recsync.program.data import RULES, Limits
from recsync.recommend.unknown_ids import UnknownIds


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            {"timestamp": "off"},
            "no such rule: timestamp; did you mean .*There are category_form, .*timestamp_unit",
        ),
        ({"cells": "off", "type": "off"}, "cannot be off, as such rows cannot be read: cells, type"),
        ({"type": "never"}, "'off', 'note', 'warn' or 'stop'"),
        ({"type": {"warn": -1}}, "greater than or equal to 0"),
        ({"type": {"fail": 1}}, "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_rule_is_explained(rules: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Checks.model_validate({"rules": rules})


def test_a_rule_has_the_default_unless_the_program_says_otherwise() -> None:
    checks = Checks.model_validate({"rules": {"type": "warn", "missing": "off", "keyword": {"stop": 0.5}}})
    assert checks.limits("type") == Limits(warn=0, stop=None)
    assert checks.limits("missing") is None
    assert checks.limits("keyword") == Limits(warn=0, stop=0.5)
    assert checks.limits("encoding") == RULES["encoding"]


def test_a_share_is_judged_by_the_stricter_limit_first() -> None:
    limits = Limits(warn=0.1, stop=0.2)
    assert [limits.level(share) for share in (0.1, 0.15, 0.2, 0.3)] == ["note", "warn", "warn", "stop"]


@pytest.mark.parametrize("what", ["unknown_audience", "unknown_catalog"])
@pytest.mark.parametrize(
    ("ids", "unknown", "level"),
    [
        (1000, 0, "note"),
        (1000, 500, "note"),
        (1000, 501, "warn"),
        (1000, 990, "warn"),
        (1000, 991, "stop"),
        (10, 10, "warn"),
    ],
)
def test_only_when_nearly_nobody_is_known_the_ids_are_taken_for_others(
    what: str, ids: int, unknown: int, level: str
) -> None:
    found = UnknownIds("audience" if what == "unknown_audience" else "catalog", "a.sql", ids, unknown)
    assert found.level(Checks()) == level
    assert found.level(Checks.model_validate({"rules": {what: "off"}})) == "note"
