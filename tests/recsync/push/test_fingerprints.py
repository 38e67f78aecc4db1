"""Fingerprints: whole columns give what one value at a time gives, and every difference shows."""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Any

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from braze_client.payloads import dumps
from recsync.push.fingerprints import (
    element_fingerprints,
    list_fingerprints,
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
VALUES = st.lists(ELEMENTS, max_size=5)


@given(st.lists(VALUES, max_size=8), st.integers(0, 3))
def test_columns_give_what_single_values_give(values: list[list[Any]], skipped: int) -> None:
    elements = element_fingerprints([dumps(element) for value in values for element in value])
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
    assert value_fingerprint([]) == PINNED["empty"]
    assert text_fingerprint("personal") == PINNED["text"]


PINNED = {
    "list": 17925171656882463069,
    "empty": 0,
    "text": 12900443293218249315,
}
