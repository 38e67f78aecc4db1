from __future__ import annotations

import pytest

from recsync.costs.charges import Kind
from recsync.costs.ledger import Entry, Month
from recsync.costs.store import MoneyStore
from recsync.errors import FatalError
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

POINT = Entry(Kind.DATA_POINTS, 1, "2026-11-22T05:00:00+00:00")


def test_what_another_run_books_meanwhile_is_kept(bucket: Bucket, keys: Keys) -> None:
    store = MoneyStore(bucket, keys)
    others = [f"theirs-{number}" for number in range(3)]

    def booking(month: Month) -> Month:
        if others:  # the first three looks are overtaken
            name = others.pop()
            store.change("2026-11", lambda now: now.booked(name, POINT))
        return month.booked("ours", POINT)

    store.change("2026-11", booking)
    assert store.read("2026-11").used() == {Kind.DATA_POINTS: 4}
    assert store.read("2026-10").used() == {}
    assert store.months() == ["2026-11"]


def test_a_change_that_changes_nothing_writes_nothing(bucket: Bucket, keys: Keys) -> None:
    MoneyStore(bucket, keys).change("2026-11", lambda month: month)
    assert MoneyStore(bucket, keys).months() == []


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"entries": {"a": {"kind": "gold", "quantity": 1}}}'])
def test_a_broken_ledger_is_named(bucket: Bucket, keys: Keys, body: bytes) -> None:
    bucket.put(keys.money("2026-11"), body)
    with pytest.raises(FatalError, match=r"state/money/2026-11\.json is no ledger"):
        MoneyStore(bucket, keys).read("2026-11")
