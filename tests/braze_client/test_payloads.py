from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from braze_client import payloads


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
