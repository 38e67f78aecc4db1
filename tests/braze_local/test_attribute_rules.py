"""Attribute types fixed by their first value, and the blocklist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Start = Callable[..., Any]


FIRST = {
    "text": "abc",
    "number": 1.5,
    "flag": True,
    "day": "2026-01-31",
    "ids": ["a"],
    "nested": {"k": 1},
    "objects": [{"k": 1}],
}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, braze: Any) -> Any:
    server = type(braze)(
        tmp_path_factory.mktemp("locked"), "--rate-limit-dialect", "none", "--apply-delay-seconds", "600"
    )
    server.applied({"external_id": "first", **FIRST})
    yield server
    server.stop()


def test_types_are_listed(locked: Any) -> None:
    listed = locked.get("/_local/attributes").json()["attributes"]
    assert {name: one["type"] for name, one in listed.items() if name in FIRST} == {
        "text": "string",
        "number": "number",
        "flag": "boolean",
        "day": "time",
        "ids": "array",
        "nested": "object",
        "objects": "object_array",
    }
    assert listed["ids"]["points"] >= 1


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("text", 5, "5"),
        ("text", 2.5, "2.5"),
        ("text", "2026-01-31", "2026-01-31"),
        ("number", "3.14", 3.14),
        ("number", {"inc": 1}, 1),
        ("flag", "T", True),
        ("flag", 0, False),
        ("flag", "false", False),
        ("day", "2026-02-01T10:00:00Z", "2026-02-01T10:00:00Z"),
        ("ids", {"add": ["b"]}, ["b"]),
        ("ids", [], []),
        ("ids", [{"k": 1}], [{"k": 1}]),
        ("objects", ["a"], ["a"]),
        ("objects", {"$add": [{"k": 2}]}, [{"k": 2}]),
    ],
)
def test_a_value_that_fits_is_stored_as_the_attributes_type(
    locked: Any, user: str, name: str, value: Any, stored: Any
) -> None:
    locked.applied({"external_id": user, name: value})
    assert locked.custom(user) == {name: stored}


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("text", True, "boolean"),
        ("text", ["a"], "array"),
        ("number", "many", "string"),
        ("number", True, "boolean"),
        ("flag", "yes", "string"),
        ("flag", 2, "number"),
        ("day", "tomorrow", "string"),
        ("ids", "a", "string"),
        ("ids", {"k": 1}, "object"),
        ("nested", "a", "string"),
        ("nested", [{"k": 1}], "object_array"),
    ],
)
def test_a_value_that_does_not_fit_is_dropped_after_a_clean_201(
    locked: Any, user: str, name: str, value: Any, kind: str
) -> None:
    locked.post("/_local/meter/reset")
    response = locked.applied({"external_id": user, name: value, "other": "kept"})
    assert response.json() == {"attributes_processed": 1, "message": "success"}
    assert locked.custom(user) == {"other": "kept"}
    (reason,) = locked.meter()["dropped_writes"]["attributes"][name]
    assert reason.startswith(f"{kind} for an attribute of type ")
    assert locked.meter()["attributes"][name] == {"writes": 0, "points": 0, "unchanged": 0, "dropped": 1}


def test_removal_is_always_possible_and_unlocks_nothing(locked: Any) -> None:
    locked.applied({"external_id": "first", "number": None})
    assert "number" not in locked.custom("first")
    locked.applied({"external_id": "first", "number": "many"})
    assert "number" not in locked.custom("first")


def test_strict_locks_tell_arrays_from_arrays_of_objects(start: Start) -> None:
    braze = start("--type-locks", "strict", "--apply-delay-seconds", "600")
    braze.applied({"external_id": "u", "none": [], "ids": ["a"], "objects": [{"k": 1}]})
    braze.applied({"external_id": "u", "none": [{"k": 2}], "ids": [{"k": 2}], "objects": ["b"]})
    assert braze.custom("u") == {"none": [{"k": 2}], "ids": ["a"], "objects": [{"k": 1}]}
    braze.applied({"external_id": "u", "objects": []})
    assert braze.custom("u")["objects"] == []


def test_types_outlive_a_restart(start: Start) -> None:
    braze = start()
    braze.applied({"external_id": "u", "a": 1})
    braze.stop()
    again = start()
    again.applied({"external_id": "u", "a": "text"})
    assert again.custom("u") == {"a": 1}


def test_a_dropped_value_fixes_no_type(start: Start) -> None:
    braze = start()
    braze.applied({"external_id": "u", "a": "x" * 256})
    braze.applied({"external_id": "u", "a": 1})
    assert braze.custom("u") == {"a": 1}


def test_blocklisted_attributes_are_ignored(start: Start) -> None:
    braze = start("--blocklist", "a", "--blocklist", "b")
    answer = braze.applied({"external_id": "u", "a": 1, "b": 2, "c": 3})
    assert answer.json() == {"attributes_processed": 1, "message": "success"}
    assert braze.custom("u") == {"c": 3}
    assert braze.meter()["dropped_writes"]["attributes"]["a"] == {"blocklisted": 1}
    assert braze.meter()["data_points"]["total"] == 1
    braze.call("PATCH", "/_local/settings", {"blocklist": []})
    braze.applied({"external_id": "u", "a": 1})
    assert braze.custom("u") == {"a": 1, "c": 3}
