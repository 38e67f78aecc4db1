from __future__ import annotations

import pytest
from small_shop import SmallShop

from recsync.maintain.objects import Inventory, in_use
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys


@pytest.fixture
def inventory(bucket: Bucket, keys: Keys) -> Inventory:
    for name in ("a", "b", "below/c"):
        bucket.put(f"{keys.program}/batch/r/{name}", b"old")
    bucket.put("other/batch/r/a", b"of another program")
    return Inventory(bucket, keys)


def test_the_objects_of_one_program_are_listed(inventory: Inventory) -> None:
    names = {listed.key.split("/", 3)[3] for listed in inventory.objects()}
    assert names == {"a", "b", "below/c"}


def test_an_object_that_was_written_since_the_listing_is_kept(inventory: Inventory) -> None:
    objects = list(inventory.objects())
    inventory.bucket.put(objects[0].key, b"new")
    inventory.bucket.delete(objects[1].key)
    rewritten = inventory.remove(objects)
    assert [(listed.key, listed.etag) for listed in rewritten] == [(objects[0].key, objects[0].etag)]
    assert inventory.bucket.keys(f"{inventory.keys.program}/") == [objects[0].key]
    assert inventory.bucket.keys("other/") == ["other/batch/r/a"]


def test_lists_are_in_use_for_the_days_that_the_rules_of_any_program_look_at(small_shop: SmallShop) -> None:
    assert in_use(small_shop.context).list_days == 0
    mailed = {"days": 45, "programs": ["shop", "winback"]}
    rules = {"length": 2, "rules": {"not_mailed_in_days": mailed}}
    small_shop.write_program("winback", recommendations=rules, braze={"attribute": "recs_winback"})
    assert in_use(small_shop.context).list_days == 45
