"""Check the sorting of packed integers against plain sorting."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from personalize_local.engine.interactions import distinct_rows, sort_stably

SMALL = st.integers(-3, 3)
# Columns of this size do not fit into one integer.
LARGE = st.integers(-(2**62), 2**62)


@given(st.lists(st.tuples(SMALL, SMALL, SMALL) | st.tuples(LARGE, SMALL, LARGE), max_size=60))
@settings(max_examples=200, deadline=None)
def test_rows_are_sorted_and_each_is_kept_once(rows):
    columns = [np.array([row[place] for row in rows], dtype=np.int64) for place in range(3)]
    found = distinct_rows(columns)
    assert list(zip(*(column.tolist() for column in found), strict=True)) == sorted(set(rows))


@given(st.lists(st.integers(0, 9) | st.integers(0, 2**62), max_size=60))
@settings(max_examples=200, deadline=None)
def test_places_tell_where_sorted_values_were(values):
    keys = np.array(values, dtype=np.int64)
    found, places = sort_stably(keys)
    assert found.tolist() == sorted(values)
    assert places.tolist() == sorted(range(len(values)), key=lambda place: values[place])
