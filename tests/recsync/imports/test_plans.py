from __future__ import annotations

import json
from typing import Any

import pytest

from recsync.imports.plans import read_plan

FULL = {
    "run": "20261122T030000-ab",
    "mode": "FULL",
    "until": "2026-11-22T03:00:00+00:00",
    "keys": {"INTERACTIONS": "shop/full/interactions.csv"},
    "known": {"INTERACTIONS": {"2026-11-22T0200Z": "digest"}},
}
UPDATE = {
    "run": "20261122T030000-ab-cd",
    "mode": "UPDATE",
    "why": "1000 new interactions",
    "solution_arn": "arn:solution",
    "locations": {"INTERACTIONS": "s3://bucket/folder/", "ITEMS": ""},
    "rows": {"interactions": 1000, "items": 0},
    "taken": {"INTERACTIONS": [{"interval": "2026-11-22T0200Z", "digest": "d", "key": "k"}], "ITEMS": []},
    "after": {"INTERACTIONS": "version", "ITEMS": ""},
}


@pytest.mark.parametrize("document", [FULL, UPDATE])
def test_the_json_of_plans_stays_as_queued_runs_know_it(document: dict[str, Any]) -> None:
    assert read_plan(document).to_json() == document
    assert json.loads(json.dumps(read_plan(document).to_json())) == document


@pytest.mark.parametrize("document", [FULL, UPDATE])
def test_a_field_of_a_later_release_is_ignored(document: dict[str, Any]) -> None:
    assert read_plan({**document, "later": 1}).to_json() == document
