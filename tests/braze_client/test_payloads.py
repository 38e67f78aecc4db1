from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from braze_client import payloads
from recsync.program import Braze
from recsync.push.rendering import list_element

IDS = Braze(attribute="recs")
OBJECTS = Braze(attribute="recs", payload="objects", item_fields=("name", "price"))


def test_ids_are_strings_and_objects_leave_absent_fields_out() -> None:
    items: dict[str, dict[str, Any]] = {
        "1": {"name": "n" * 300, "price": None},
        "2": {"name": "b", "price": 1.5, "unsent": True},
    }
    assert [list_element(IDS, i, items[i]) for i in ("2", "1")] == ["2", "1"]
    assert [list_element(OBJECTS, i, items[i]) for i in ("2", "1")] == [
        {"id": "2", "name": "b", "price": 1.5},
        {"id": "1", "name": "n" * 255},
    ]


def test_zero_and_false_are_values() -> None:
    assert list_element(OBJECTS, "1", {"name": False, "price": 0}) == {
        "id": "1",
        "name": False,
        "price": 0,
    }


def test_fingerprints_do_not_depend_on_key_order_but_on_item_order() -> None:
    assert payloads.fingerprint({"a": 1, "b": 2}) == payloads.fingerprint({"b": 2, "a": 1})
    assert payloads.fingerprint(["a", "b"]) != payloads.fingerprint(["b", "a"])


def test_catalog_items_carry_every_field() -> None:
    item = payloads.catalog_item("1", {"name": "x" * 6000}, {"name": "string", "price": "number"})
    assert item == {"id": "1", "name": "x" * 5000, "price": None}


@given(st.lists(st.text(max_size=50), max_size=400), st.integers(1, 75))
def test_batches_keep_every_object_in_order_within_the_limits(names: list[str], limit: int) -> None:
    objects = [{"external_id": name} for name in names]
    cut = list(payloads.batches(objects, max_objects=limit))
    assert [o for batch in cut for o in batch] == objects
    assert all(0 < len(batch) <= limit for batch in cut)


def test_batches_respect_the_byte_guard() -> None:
    objects = [{"external_id": str(n), "recs": "x" * 900_000} for n in range(10)]
    cut = list(payloads.batches(objects, max_objects=75))
    assert max(len(json.dumps(batch)) for batch in cut) <= 4_000_000
    assert [len(batch) for batch in cut] == [3, 3, 3, 1]
