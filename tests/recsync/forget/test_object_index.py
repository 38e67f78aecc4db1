from __future__ import annotations

import numpy as np
import pyarrow as pa

from recsync.forget.object_index import ObjectIndex
from recsync.storage.bucket import Bucket
from recsync.storage.hashes import Hashes, string_hashes

KEY = "shop/state/erasure-index.parquet"
ALL = {"a", "b", "c", "d", "staged"}


def hashes(*ids: str) -> Hashes:
    return np.sort(string_hashes(pa.array(ids, pa.string())))


def index(bucket: Bucket, *ids: str, mark: str = "") -> ObjectIndex:
    return ObjectIndex(bucket, KEY, hashes(*ids), mark)


def test_only_what_is_new_changed_or_may_hold_somebody_is_read(bucket: Bucket) -> None:
    made = index(bucket, "nobody", mark="batch-1")
    made.put("a", "1", hashes("ann", "bob"))
    made.put("b", "1", hashes("bob"))
    made.put("c", "1", None)
    made.put("d", "1", hashes())
    made.save(ALL)

    found = index(bucket, "ann")
    assert [key for key in "abcdx" if found.may_hold(key, "1")] == ["a", "c", "x"]
    assert found.may_hold("b", "2")
    both = index(bucket, "bob", "zoe")
    assert [key for key in "abcd" if both.may_hold(key, "1")] == ["a", "b", "c"]
    # The erasure that looked at them last has seen them.
    same = index(bucket, "ann", mark="batch-1")
    assert not any(same.may_hold(key, "1") for key in "abcd")
    assert same.may_hold("a", "2")


def test_what_is_gone_or_was_replaced_leaves_the_index(bucket: Bucket) -> None:
    made = index(bucket, mark="batch-1")
    for key in ("a", "b"):
        made.put(key, "1", hashes("ann"))
    made.put("staged", "s", hashes("bob"))
    made.save(ALL)
    again = index(bucket, "ann", mark="batch-2")
    again.move("staged", "a", "2")
    again.save({"a"})
    assert not again.may_hold("a", "2")

    table = bucket.get_table(KEY)
    assert table is not None
    assert table.select(["key", "etag", "mark"]).to_pylist() == [{"key": "a", "etag": "2", "mark": "batch-2"}]
    assert not index(bucket, "ann").may_hold("a", "2")
    assert index(bucket, "bob").may_hold("a", "2")


def test_many_filters_say_what_a_search_of_each_says(bucket: Bucket) -> None:
    made, random = index(bucket, mark="m"), np.random.default_rng(5)
    people = [f"u{n}" for n in range(300)]
    held = {f"k{n}": random.choice(people, random.integers(0, 6), replace=False).tolist() for n in range(400)}
    for key, ids in held.items():
        made.put(key, "1", hashes(*ids))
    made.save(held)
    wanted = set(people[:20])
    found = index(bucket, *wanted)
    assert {k for k in held if found.may_hold(k, "1")} == {k for k, ids in held.items() if wanted & set(ids)}


def test_a_damaged_index_and_one_of_other_rules_are_not_believed(bucket: Bucket) -> None:
    bucket.put(KEY, b"no parquet")
    assert index(bucket, "ann").may_hold("a", "1")
    table = pa.table({"key": ["a"], "etag": ["1"], "mark": [""], "ids": pa.array([[]], pa.list_(pa.int64()))})
    bucket.put_table(KEY, table)
    assert index(bucket, "ann").may_hold("a", "1")
