from __future__ import annotations

from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys
from recsync.suppression.store import SuppressionStore
from recsync.suppression.suppression_list import USER


def test_the_list_grows_with_one_key_for_ever_and_adding_again_changes_nothing(
    bucket: Bucket, keys: Keys
) -> None:
    store = SuppressionStore(bucket, keys)
    assert not store.read()
    first = store.add(["ann"], ["b-ann"])
    etag = bucket.etag(keys.state("suppression.json"))
    assert store.add(["ann"], ["b-ann"]) == first
    assert bucket.etag(keys.state("suppression.json")) == etag
    second = store.add(["bob"])
    assert second.salt == first.salt
    assert store.read() == second
    assert all(second.holds(USER, one) for one in ("ann", "bob"))
    assert b"ann" not in (bucket.get(keys.state("suppression.json")) or b"")


def test_two_who_add_at_once_both_stay(bucket: Bucket, keys: Keys) -> None:
    store = SuppressionStore(bucket, keys)

    class Faster(SuppressionStore):
        """Lets somebody else add between its read and its write, once."""

        def _read(self) -> object:  # type: ignore[override] - the shape is the parent's own
            answer = super()._read()
            if not store.read().users:
                store.add(["bob"])
            return answer

    both = Faster(bucket, keys).add(["ann"])
    assert all(both.holds(USER, one) for one in ("ann", "bob"))
