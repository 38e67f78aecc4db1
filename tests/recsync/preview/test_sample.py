"""Who is worth a look."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsync.email_kit.fields import ItemFields
from recsync.preview.sample import NAMED, Chosen, choose, names_in_braze
from recsync.recommend.lists.list_partition import LISTS

FIELDS = ItemFields("name", price="price", former_price="former", image="image")
CATALOG = [
    {"name": "Bread", "price": 2, "image": "x"},
    {"name": "A name that is long", "price": 2, "image": "x"},
    {"name": "Milk", "price": None, "image": ""},
    {"name": "Gift", "price": 0, "image": "x"},
    {"name": "Eggs", "price": 2, "former": 3, "image": "x"},
    {"name": "Bread", "price": 2, "image": "x"},
    {"name": "Tea", "price": 2, "image": "x"},
]


def row(person: str, items: list[int], score: float | None = 0.5, **changed: Any) -> dict[str, Any]:
    return {
        "external_id": person, "items": items, "scores": None if score is None else [score] * len(items),
        "tier": "personal" if items else "", "reason": "" if items else "nothing fit to mail", "priority": None,
        "segment": None, "unanswered": "", **changed,
    }  # fmt: skip


PEOPLE = [
    row("usual", [0, 6, 4]),
    row("best", [0, 6, 0], 0.9),
    row("lowest", [0, 6, 0], 0.1),
    row("unscored", [0, 6, 0, 6], None),
    row("fallback", [0, 6, 0], None, tier="popular"),
    row("long", [1, 6, 0]),
    row("missing", [0, 2, 6]),
    row("free", [3, 6, 0]),
    row("reduced", [4, 4, 4]),
    row("twice", [0, 5, 6]),
    row("short", [0]),
    row("none", []),
    row("held", [], reason="held out by experiment autumn", arm="out"),
]


@pytest.fixture
def lists(tmp_path):
    path = tmp_path / "lists.parquet"
    pq.write_table(pa.Table.from_pylist(PEOPLE, LISTS), path)
    return path


@pytest.fixture
def catalog():
    rows = [json.dumps(each) for each in CATALOG]
    return pa.table({"item_id": [f"i{n}" for n in range(len(rows))], "fields": rows})


def test_one_person_is_chosen_for_each_thing_worth_a_look(lists, catalog):
    chosen = choose(lists, catalog, FIELDS, 2, held_out=["out"])
    assert {each.label: each.person for each in chosen} == {
        "best scores": "best",
        "lowest scores": "lowest",
        "a list of a person's own": "unscored",
        "list from the fallback": "fallback",
        "longest names": "long",
        "fields are missing": "missing",
        "a price of 0": "free",
        "reduced prices": "reduced",
        "a name twice": "twice",
        "a short list": "short",
        "no list": "none",
        "held out by the experiment": "held",
    }
    assert [(each.reason, each.arm) for each in chosen[-2:]] == [
        ("nothing fit to mail", ""),
        ("held out by experiment autumn", "out"),
    ]
    assert choose(lists, catalog, FIELDS, 2, held_out=["out"]) == chosen


def test_only_items_that_the_mail_shows_count(lists, catalog):
    labels = {each.label for each in choose(lists, catalog, FIELDS, shown=1)}
    assert "fields are missing" not in labels
    assert "a price of 0" in labels


def test_people_are_found_by_user_id_and_by_their_name_in_braze(lists, tmp_path):
    audience = tmp_path / "audience.parquet"
    pq.write_table(
        pa.table({"user_id": ["u1", "u2", "best"], "external_id": ["long", "none", "usual"]}), audience
    )
    assert names_in_braze(["u1", "best", "u2", "stranger"], lists, audience) == {
        "u1": Chosen(NAMED, "long"),
        "best": Chosen(NAMED, "best"),
        "u2": Chosen(NAMED, "none", "nothing fit to mail"),
        "stranger": Chosen(NAMED, "stranger"),
    }
    assert names_in_braze(["u1"], lists, None) == {"u1": Chosen(NAMED, "u1")}
