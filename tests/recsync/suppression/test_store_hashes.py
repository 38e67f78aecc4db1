from __future__ import annotations

import csv
import io

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from recsync.suppression.store import PERSON, USER, Suppression, without_suppressed

COLUMNS = ("ITEM_ID", "USER_ID", "TIMESTAMP")
ANN = Suppression(b"key").with_ids(["ann"], ["braze-ann"])
# What a warehouse can send within quotes and without; no NUL and no lone surrogate.
TEXTS = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), min_size=1, max_size=6)


def written(rows: list[tuple[str, str, str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


@given(st.lists(st.tuples(TEXTS, TEXTS | st.just("ann"), st.just("1")), max_size=20))
def test_a_block_loses_the_rows_of_suppressed_users_and_nothing_else(
    rows: list[tuple[str, str, str]],
) -> None:
    assert without_suppressed(written(rows), COLUMNS, ANN) == written(
        [row for row in rows if row[1] != "ann"]
    )


def test_a_block_with_a_misshapen_row_is_still_read_row_by_row() -> None:
    block = b'i1,ann,1\ni2\ni3,bob,3,more\n"i,4",ann,4\n'
    assert without_suppressed(block, COLUMNS, ANN) == b"i2\ni3,bob,3,more\n"


def test_a_block_without_suppressed_users_is_given_back_as_it_is() -> None:
    block = b"i1,bob,1\n"
    assert without_suppressed(block, COLUMNS, ANN) is block
    assert without_suppressed(block, ("ITEM_ID", "PRICE"), ANN) is block
    assert without_suppressed(b"i1,ann,1\n", COLUMNS, Suppression(b"key")) == b"i1,ann,1\n"


def test_users_and_people_are_different_lists() -> None:
    assert ANN.contains(USER, "ann")
    assert not ANN.contains(PERSON, "ann")
    assert not ANN.contains(USER, "braze-ann")
    assert ANN.mask(PERSON, pa.array(["x", "braze-ann", None])).tolist() == [False, True, False]


def test_the_document_holds_hashes_only_and_is_read_back() -> None:
    document = ANN.to_json()
    assert "ann" not in str(document)
    again = Suppression.from_json(document)
    assert again == ANN
    assert again.contains(USER, "ann")
    assert Suppression(b"other key").with_ids(["ann"], []).users != ANN.users


def test_a_further_list_counts_with_its_own_key() -> None:
    owner = Suppression(b"one").with_ids(["erased there"], ["mailed there"])
    both = Suppression(b"other", also=owner)
    assert (bool(both), both.lists(USER), Suppression(b"x", also=Suppression()).lists(USER)) == (
        True,
        True,
        False,
    )
    both = both.with_ids(["erased here"], [])
    assert both.mask(USER, pa.array(["erased there", "erased here", "kept", None])).tolist() == [1, 1, 0, 0]
    assert both.mask(PERSON, pa.array(["mailed there", "erased here"])).tolist() == [True, False]
    assert both.contains(USER, "erased there")
    assert set(both.to_json()) == {"salt", "users", "people"}
