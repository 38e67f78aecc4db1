from __future__ import annotations

from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys
from recsync.suppression.store import USER, SuppressionStore


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
    assert all(second.contains(USER, one) for one in ("ann", "bob"))
    assert b"ann" not in (bucket.get(keys.state("suppression.json")) or b"")


def test_two_who_add_at_once_are_both_kept(bucket: Bucket, keys: Keys) -> None:
    store = SuppressionStore(bucket, keys)

    class OvertakenBucket(Bucket):
        """Let another run add between the first read and its write."""

        def get_with_etag(self, key: str) -> tuple[bytes | None, str | None]:
            found = super().get_with_etag(key)
            if not store.read().users:
                store.add(["bob"])
            return found

    both = SuppressionStore(OvertakenBucket(bucket.client, bucket.name), keys).add(["ann"])
    assert all(both.contains(USER, one) for one in ("ann", "bob"))
    assert store.read() == both
