"""The value and the data points of one attribute write."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braze_local.attributes import ABSENT, DroppedWriteError, apply_write, is_unchanged

BIG_OBJECT = {f"k{i}": "x" * 250 for i in range(420)}


@pytest.mark.parametrize(
    ("old", "value", "new", "points"),
    [
        (ABSENT, 5, 5, 1),
        ("a", "", "", 1),
        (1, None, ABSENT, 1),
        (ABSENT, None, ABSENT, 1),
        (ABSENT, [], [], 1),
        (["x"], ["hotdog", "hotdog", "hotdog", "pizza"], ["hotdog", "pizza"], 1),
        (ABSENT, [1, 2, 1, True, 1.0, True], [1, 2, True, 1.0], 1),
        (["a", "b", "c"], {"add": ["a", "d"]}, ["b", "c", "a", "d"], 2),
        (["a", "b"], {"remove": ["a", "z"]}, ["b"], 2),
        (ABSENT, {"add": ["a"]}, ["a"], 1),
        (4, {"inc": 3}, 7, 1),
        (ABSENT, {"inc": -3}, -3, 1),
        (ABSENT, {"a": 1, "b": {"c": 2, "d": [1, 2]}}, {"a": 1, "b": {"c": 2, "d": [1, 2]}}, 3),
        ({"a": 1, "z": 1}, {"a": 2}, {"a": 2}, 1),
        (ABSENT, [{"id": 1, "n": "x"}, {"id": 2, "n": "y"}], [{"id": 1, "n": "x"}, {"id": 2, "n": "y"}], 4),
        ([{"id": 1}], {"$add": [{"id": 1, "n": 2}]}, [{"id": 1}, {"id": 1, "n": 2}], 2),
        (ABSENT, {"when": {"$time": "2026-01-31"}}, {"when": "2026-01-31"}, 1),
        (ABSENT, {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": {"g": 6, "h": 7}}, ..., 7),
    ],
)
def test_a_write_gives_the_value_and_costs_the_points(old: Any, value: Any, new: Any, points: int) -> None:
    outcome = apply_write(old, value)
    assert outcome.points == points
    assert is_unchanged(outcome.value, value if new is ... else new)


def test_merge_keeps_what_is_not_named() -> None:
    old = {"a": 1, "b": {"c": 2, "d": 3}}
    assert apply_write(old, {"b": {"c": 9}}, merge=True).value == {"a": 1, "b": {"c": 9, "d": 3}}
    assert apply_write(old, {"b": {"c": 9}}).value == {"b": {"c": 9}}


def test_operators_run_add_remove_update_whatever_their_order() -> None:
    by_id = {"$identifier_key": "id", "$identifier_value": 1}
    edits = {
        "$update": [{**by_id, "$new_object": {"n": "new"}}],
        "$remove": [by_id],
        "$add": [{"id": 1, "n": "added"}, {"id": 2, "n": "kept"}],
    }
    assert apply_write([{"id": 1, "n": "old"}], edits, merge=True).value == [{"id": 2, "n": "kept"}]


def test_update_merges_only_with_merge_objects() -> None:
    edit = {"$update": [{"$identifier_key": "id", "$identifier_value": 1, "$new_object": {"n": 5}}]}
    assert apply_write([{"id": 1, "m": 2}], edit, merge=True).value == [{"id": 1, "m": 2, "n": 5}]
    assert apply_write([{"id": 1, "m": 2}], edit).value == [{"n": 5}]


def test_a_full_array_loses_its_oldest_elements() -> None:
    held = [f"v{i}" for i in range(500)]
    assert apply_write(held, {"add": ["new"]}).value == [*held[1:], "new"]
    assert apply_write(ABSENT, ["first", *held]).value == held


@pytest.mark.parametrize(
    ("old", "value"),
    [
        ("old", "x" * 256),
        (ABSENT, ["fine", "x" * 256]),
        (ABSENT, {"a": None}),
        (ABSENT, {"a": {"$time": "yesterday"}}),
        (ABSENT, {"a b": 1}),
        (ABSENT, {"a.b": 1}),
        (ABSENT, [{"a": None}]),
        (ABSENT, ["mixed", {"a": 1}]),
        (ABSENT, ["with null", None]),
        (ABSENT, BIG_OBJECT),
        (ABSENT, [BIG_OBJECT]),
        (
            [BIG_OBJECT | {f"k{i}": 1 for i in range(100)}],
            {"$add": [{f"z{i}": "x" * 250 for i in range(200)}]},
        ),
        ("text", {"inc": 1}),
        (True, {"inc": 1}),
        ("text", {"add": ["a"]}),
        ("text", {"$add": [{"a": 1}]}),
        (ABSENT, {"$unknown": 1}),
    ],
)
def test_some_writes_are_dropped(old: Any, value: Any) -> None:
    with pytest.raises(DroppedWriteError):
        apply_write(old, value)


def test_what_just_fits_is_kept() -> None:
    assert apply_write(ABSENT, "x" * 255).value == "x" * 255
    fits = {f"k{i}": "x" * 250 for i in range(380)}
    assert apply_write(ABSENT, fits).value == fits


_words = st.sampled_from(
    ["a", "inc", "add", "remove", "$add", "$remove", "$update", "$time", "$identifier_key"]
)


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | _words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_words, inner, max_size=3),
    max_leaves=12,
)


@settings(deadline=None, database=None)
@given(old=_json, value=_json, merge=st.booleans())
def test_any_json_is_either_written_or_dropped(old: Any, value: Any, merge: bool) -> None:
    try:
        outcome = apply_write(ABSENT if old is None else old, value, merge=merge)
    except DroppedWriteError:
        return
    assert outcome.points >= 1
    if outcome.value is not ABSENT:
        assert msgspec.json.decode(msgspec.json.encode(outcome.value)) == outcome.value
