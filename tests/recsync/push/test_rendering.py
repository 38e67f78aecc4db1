"""Fingerprints and values: whole columns give what one value at a time gives, and every difference shows."""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from delivery_reference import SCORES, numbers
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from braze_client.payloads import dumps
from recsync.push.rendering import (
    Numbers,
    element_fingerprints,
    item_object,
    list_fingerprints,
    number_fingerprints,
    text_fingerprint,
    value_fingerprint,
)

SCALARS = st.one_of(
    st.text(max_size=6),
    st.integers(-(2**53), 2**53),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
)
ELEMENTS = st.one_of(st.text(max_size=6), st.dictionaries(st.text(max_size=4), SCALARS, max_size=3))
VALUES = st.lists(st.one_of(ELEMENTS, st.integers(-9, 9), st.floats(0.1, 0.9)), max_size=5)


def _digest(element: Any) -> int:
    if isinstance(element, int | float):
        return int(number_fingerprints(np.array([element], dtype=np.float64))[0])
    return int(element_fingerprints([dumps(element)])[0])


@given(st.lists(VALUES, max_size=8), st.integers(0, 3))
def test_columns_give_what_single_values_give(values: list[list[Any]], skipped: int) -> None:
    elements = np.array([_digest(element) for value in values for element in value], dtype=np.uint64)
    # A slice of a column does not begin at zero.
    offsets = np.array(list(accumulate(map(len, values), initial=skipped)), dtype=np.int64)
    assert list_fingerprints(elements, offsets).tolist() == [value_fingerprint(value) for value in values]


@given(VALUES, VALUES)
def test_equal_values_and_no_others_have_equal_fingerprints(one: list[Any], other: list[Any]) -> None:
    assert (value_fingerprint(one) == value_fingerprint(other)) == (dumps(one) == dumps(other))


@given(VALUES, st.randoms(use_true_random=False))
def test_the_order_counts(value: list[Any], random: Any) -> None:
    other = list(value)
    random.shuffle(other)
    assume(dumps(other) != dumps(value))
    assert value_fingerprint(value) != value_fingerprint(other)


@given(ELEMENTS, st.integers(0, 6), st.integers(0, 6))
def test_duplicates_count(element: Any, some: int, more: int) -> None:
    fingerprints = {value_fingerprint([element] * some), value_fingerprint([element] * more)}
    assert len(fingerprints) == (1 if some == more else 2)


@given(VALUES)
def test_a_value_that_went_through_json_keeps_its_fingerprint(value: list[Any]) -> None:
    assert value_fingerprint(json.loads(json.dumps(value))) == value_fingerprint(value)


@given(st.text(max_size=8))
def test_a_text_is_not_the_list_of_it(text: str) -> None:
    assert text_fingerprint(text) != value_fingerprint([text])
    assert text_fingerprint(text) != text_fingerprint(text + " ")


def test_what_is_next_to_each_other_is_not_mixed_up() -> None:
    values: list[list[Any]] = [
        [],
        [""],
        ["ab"],
        ["a", "b"],
        ["b", "a"],
        ["a"],
        [1],
        ["1"],
        [{}],
        [{"id": "1"}],
        [[]],
    ]
    assert len({value_fingerprint(value) for value in values}) == len(values)


def test_fingerprints_are_the_same_in_every_release() -> None:
    # They lie in the last-sent state: another value would send everybody anew.
    assert value_fingerprint(["p-1", "p-2"]) == PINNED["list"]
    assert value_fingerprint([{"id": "1", "price": 2.5}]) == PINNED["objects"]
    assert value_fingerprint([]) == PINNED["empty"]
    assert text_fingerprint("personal") == PINNED["text"]


PINNED = {
    "list": 17925171656882463069,
    "objects": 9194968990709419870,
    "empty": 0,
    "text": 12900443293218249315,
}


@settings(deadline=None, max_examples=50)
@given(st.lists(st.one_of(st.none(), st.lists(SCORES, max_size=30)), max_size=5), st.integers(0, 3))
def test_numbers_are_as_many_as_the_items_and_braze_keeps_all_of_them(lists: list[Any], skipped: int) -> None:
    column = pa.array([[0.5]] * skipped + lists, pa.list_(pa.float32())).slice(skipped)
    values = Numbers.of(column)
    expected = [numbers(scores) for scores in lists]
    digests, missing = values.fingerprints()
    rendered = values.rendered().to_pylist()
    assert missing.tolist() == [value is None for value in expected]
    for text, digest, value in zip(rendered, digests.tolist(), expected, strict=True):
        if value is not None:
            assert json.loads(text) == value
            assert digest == value_fingerprint(json.loads(text))
            assert len({*value}) == len(value)


@pytest.mark.parametrize(
    ("scores", "sent"),
    [
        ([0.0117211, 0.0034], b"[0.0117211,0.0034]"),
        ([0.5, 0.5, 0.5], b"[0.500000002,0.500000001,0.5]"),
        ([0.5, None, None], b"[0.5,-2,-3]"),
        ([0.0, 1.0, float("nan"), 1e30], b"[0,1,-3,1000000]"),
    ],
)
def test_scores_are_told_apart_and_an_item_without_one_has_its_negative_position(
    scores: list[float | None], sent: bytes
) -> None:
    assert Numbers.of(pa.array([scores], pa.list_(pa.float32()))).rendered().to_pylist() == [sent]


def test_objects_leave_absent_fields_out_and_cut_long_texts() -> None:
    fields = ("name", "price")
    assert item_object("2", {"name": "b", "price": 1.5, "unsent": True}, fields) == {
        "id": "2",
        "name": "b",
        "price": 1.5,
    }
    assert item_object("1", {"name": "n" * 300, "price": None}, fields) == {"id": "1", "name": "n" * 255}
    assert item_object("1", {"name": False, "price": 0}, fields) == {"id": "1", "name": False, "price": 0}
