from __future__ import annotations

import csv
import html
import io
import json

from hypothesis import given
from hypothesis import strategies as st

from recsync.forget.object_ids import IdHashes, ids_of_text
from recsync.forget.people import Identity, People, kind_of

ANN = Identity("ann", ("b-ann",))


def people(*identities: Identity) -> People:
    return People({f"request-{number}": one for number, one in enumerate(identities)})


def redacted(text: str, *identities: Identity) -> tuple[str, set[str]]:
    found: set[str] = set()
    return people(*identities).redacted(text, found), found


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8))
def test_an_unload_that_names_an_id_in_csv_is_found(user_id: str) -> None:
    row = io.StringIO()
    csv.writer(row).writerow(["x", user_id, "y"])
    if '"' not in user_id:
        assert people(Identity(user_id)).may_occur(row.getvalue().encode())


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8))
def test_an_id_that_a_text_names_is_found_by_its_hashes(user_id: str) -> None:
    somebody = people(Identity(user_id))
    for text in (f"of {user_id}, who", user_id, f"({user_id})"):
        if somebody.redacted(text, set()) != text:
            for shown in (text, html.escape(text)):
                found = IdHashes(somebody.probes)
                ids_of_text(shown, found)
                assert found.is_hit


def test_only_whole_words_are_redacted() -> None:
    text = "ann, b-ann and anna of b-ann-2"
    assert redacted(text, ANN) == ("erased, erased and anna of b-ann-2", {"request-0"})
    assert redacted(text, ANN, Identity("anna of")) == (
        "erased, erased and erased b-ann-2", {"request-0", "request-1"}
    )  # fmt: skip


def test_the_beginning_of_a_long_id_is_redacted_too() -> None:
    assert redacted(f"{'x' * 100} …", Identity("x" * 150))[0] == "erased …"


def test_an_id_without_a_word_is_redacted_too() -> None:
    assert redacted("not (*), but *", Identity("(*)"))[0] == "not erased, but *"


def test_columns_hold_the_ids_of_their_service() -> None:
    both = people(ANN, Identity("bob"))
    assert both.of_column("USER_ID") == both.of_column("userId") == {"ann": "request-0", "bob": "request-1"}
    for name in ("external_id", "braze_id", "alias_name", "email", "phone"):
        assert both.of_column(name) == {"b-ann": "request-0"}
    assert both.of_column("ITEM_ID") == {}
    assert kind_of("ITEM_ID") is None


def test_two_people_may_share_an_address() -> None:
    shared = people(Identity("ann", ("both@example.com",)), Identity("bob", ("both@example.com",)))
    assert shared.of_column("email") == {"both@example.com": "request-0"}


def test_it_is_read_back_with_all_ids() -> None:
    known = ANN.with_external_ids(["a-ann"])
    assert known.external_ids == ("a-ann", "b-ann")
    assert Identity.from_json(json.loads(json.dumps(known.to_json()))) == known
