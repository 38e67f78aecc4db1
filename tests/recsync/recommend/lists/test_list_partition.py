"""The rows of one partition of users."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsync.program import Recommendations
from recsync.recommend.lists import list_partition
from recsync.recommend.lists.audience import AUDIENCE
from recsync.recommend.lists.catalog import ItemCatalog
from recsync.recommend.lists.list_partition import FAILED, NO_LINE, NOT_ASKED, build_partition
from recsync.recommend.lists.output_staging import STAGED

CATALOG = ItemCatalog(pa.table({"item_id": ["p0", "p1", "p2"], "fields": ["{}"] * 3}))
USERS = ["a", "b", "c", "d", "e"]
LINES = [("a", [2, -1, 0], False), ("b", [], True), ("e", [1], False)]
ASKED = pa.table({"user_id": ["a", "b", "c"]})


def test_who_has_no_list_gets_the_reason() -> None:
    people = pa.Table.from_pylist([{"user_id": u, "external_id": u} for u in USERS], schema=AUDIENCE)
    rows = [dict(zip(STAGED.names, line, strict=True)) for line in LINES]
    lines = pa.Table.from_pylist(rows, schema=STAGED)
    policy = Recommendations(length=2)
    table, used, report, _ = build_partition(people, lines, None, CATALOG, policy, None, ASKED)
    few = "fewer than 2 items that may be mailed"
    assert table["reason"].to_pylist() == ["", FAILED, NO_LINE, NOT_ASKED, few]
    assert table["unanswered"].to_pylist() == ["", FAILED, NO_LINE, "", ""]
    assert table["tier"].to_pylist() == ["personal", "", "", "", ""]
    assert used.tolist() == [True, False, True]
    assert (report.questions, report.answered, report.dropped) == (4, 2, {"not in the catalogue": 1})


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 12))
def test_rows_are_cut_until_their_matrix_is_small_enough(lengths: list[int], places: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(list_partition, "_MAX_PLACES", places)
        cuts = list(list_partition._row_blocks(np.array(lengths, np.int64), 0, len(lengths)))
    assert [row for start, end in cuts for row in range(start, end)] == list(range(len(lengths)))
    assert all(end - start == 1 or (end - start) * max(lengths[start:end]) <= places for start, end in cuts)
