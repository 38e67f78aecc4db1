from __future__ import annotations

import csv
import html
import io
import json

from hypothesis import given
from hypothesis import strategies as st

from recsync.forget.erasure_rules import Identity

ANN = Identity("ann", ("b-ann",))


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8))
def test_an_id_is_found_as_csv_json_and_html_spell_it(user_id: str) -> None:
    found = Identity(user_id)
    row = io.StringIO()
    csv.writer(row).writerow(["x", user_id])
    for text in (
        row.getvalue(),
        json.dumps([user_id]),
        json.dumps(user_id, ensure_ascii=False),
        html.escape(user_id),
    ):
        assert found.occurs(text.encode())


def test_only_whole_words_are_redacted() -> None:
    assert ANN.redacted("ann, b-ann and anna of b-ann-2") == "erased, erased and anna of b-ann-2"


def test_the_beginning_of_a_long_id_is_redacted_too() -> None:
    assert Identity("x" * 150).redacted(f"{'x' * 100} …") == "erased …"


def test_columns_hold_the_ids_of_their_service() -> None:
    assert ANN.of_column("USER_ID") == ANN.of_column("userId") == {"ann"}
    for name in ("external_id", "braze_id", "alias_name", "email", "phone"):
        assert ANN.of_column(name) == {"b-ann"}
    assert ANN.of_column("ITEM_ID") == frozenset()


def test_it_is_read_back_with_all_ids() -> None:
    known = ANN.with_external_ids(["a-ann"])
    assert known.ids == {"ann", "a-ann", "b-ann"}
    assert Identity.from_json(json.loads(json.dumps(known.to_json()))) == known
