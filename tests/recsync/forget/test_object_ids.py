"""What an object's hashes name is all that an erasure can take out of it, for any content."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsync.forget import object_ids
from recsync.forget.erasure_rules import RowCounts, csv_without, document_without, json_without
from recsync.forget.object_ids import IdHashes
from recsync.forget.people import Identity, People
from recsync.storage.hashes import string_hashes

IDS = st.sampled_from(["ann", "b-7", "a b", "4", 'q"\\q', "\u00e9mile", "(*)", "x" * 120])
TEXTS = (
    IDS | st.builds("of {} and {}".format, IDS, IDS) | st.builds("{}{}".format, IDS, st.sampled_from("ax-_!"))
)
MEMBERS = st.sampled_from(
    ["userId", "USER_ID", "external_id", "email", "users", "recommendedUsers", "reason", "error", "example",
     "object", "name", "smallest", "largest", "input", "output", "itemId", "rows"]
)  # fmt: skip
VALUES = st.recursive(
    TEXTS | st.just("USER_ID") | st.integers(0, 9) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS, inner, max_size=4),
    max_leaves=12,
)


def documents(value: Any) -> list[Any]:
    """The value, and the same as a payload in a string."""
    return [value, {"object": json.dumps(value)}]


@given(VALUES, IDS, IDS)
def test_a_document_that_an_erasure_changes_has_a_hash_of_the_person(
    value: Any, user: str, person: str
) -> None:
    people = People({"1": Identity(user, (person,))})
    for document in documents(value):
        for escaped in (True, False):
            found = IdHashes(people.probes)
            line = json.dumps(document, ensure_ascii=escaped).encode()
            object_ids.ids_of_lines([line[:9], line[9:] + b"\n"], found)
            cleaned, removed = document_without(document, people)
            assert cleaned == document or removed
            assert found.is_hit or cleaned == document
            counted = RowCounts()
            list(json_without([line + b"\n"], people, counted))
            assert found.is_hit or not counted.removed


@given(st.lists(st.tuples(IDS, IDS), min_size=1, max_size=4), IDS)
def test_a_csv_that_an_erasure_changes_has_a_hash_of_the_person(
    rows: list[tuple[str, str]], user: str
) -> None:
    people = People({"1": Identity(user)})
    text = io.StringIO()
    writer = csv.writer(text, doublequote=False, escapechar="\\", quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("ITEM_ID", "USER_ID"), *rows])
    found, counted = IdHashes(people.probes), RowCounts()
    object_ids.ids_of_csv([text.getvalue().encode()], found)
    list(csv_without([text.getvalue().encode()], people, counted))
    assert found.is_hit == bool(counted.removed) == (user in [one for _, one in rows])


def test_an_object_with_too_many_ids_gets_no_filter_and_is_hit_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(object_ids, "MOST_IDS", 100)
    found = IdHashes(string_hashes(pa.array(["u777"])))
    for start in range(0, 1000, 50):
        found.add(string_hashes(pa.array([f"u{n}" for n in range(start, start + 50)])))
    assert found.is_hit
    assert found.hashes() is None
    few = IdHashes(string_hashes(pa.array(["u777"])))
    for _ in range(10):
        few.add(string_hashes(pa.array([f"u{n}" for n in range(50)])))
    hashes = few.hashes()
    assert hashes is not None
    assert len(hashes) == 50
    assert not few.is_hit
