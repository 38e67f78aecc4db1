from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from published_shop import ITEMS, Shop

from recommendations.store import Store
from recsync.errors import FatalError


def store_of(shop: Shop) -> Store:
    shop.updater().poll()
    place = next((shop.settings.data / "shop" / "stores").iterdir())
    return Store(place)


def items(store: Store, person: str) -> list[dict[str, Any]]:
    entry = store.find(person)
    assert entry is not None
    return json.loads(store.items(entry.positions))


def test_a_person_has_the_items_of_the_list_in_its_order_with_the_default_fields(shop: Shop) -> None:
    shop.publish()
    assert items(store_of(shop), "ann") == [
        {
            "id": f"i{n}",
            "url": f"https://shop.example/{n}",
            "name": f"Name {n}",
            "price": n + 0.5,
            "image": None,
        }
        for n in (2, 0)
    ]


def test_the_configured_fields_are_rendered_and_a_missing_column_is_refused(shop: Shop) -> None:
    shop.publish()
    fields = {"title": "name", "sku": "id"}
    chosen = shop.with_config(programs={"shop": {"fields": fields}})
    assert items(store_of(chosen), "bob")[0] == {"title": "Name 1", "sku": "i1"}
    broken = shop.with_config(programs={"shop": {"fields": ["id", "brand"]}})
    with pytest.raises(
        FatalError, match=r"no column brand; it has id, name, price, url\. Name the column in"
    ):
        broken.updater().programs["shop"].check_publication()


def test_long_and_odd_ids_are_found_and_others_are_not(shop: Shop) -> None:
    people = ["x" * 5_000, "ünï\x00 'q\"", "0", "00"]
    shop.publish(lists={person: ["i1"] for person in people})
    store = store_of(shop)
    assert [items(store, person)[0]["id"] for person in people] == ["i1"] * 4
    assert store.find("000") is None
    assert store.positions(["i3", "no such item", "i0"]) == [3, 0]


def test_the_arm_of_a_person_is_kept_where_the_lists_have_one(shop: Shop) -> None:
    shop.publish()
    store = store_of(shop)
    assert [store.labels_of(store.find(one)) for one in ("ann", "cid")] == [
        {"tier": "personal"},
        {"tier": ""},
    ]
    shop.publish("20261130T060000-bb", columns={"arm": ["champion", "popular", "champion"]})
    store = store_of(shop)
    assert store.labels_of(store.find("bob")) == {"tier": "personal", "arm": "popular"}


def test_unknown_people_get_what_most_lists_of_popular_items_hold_each_name_once(shop: Shop) -> None:
    lists = {"a": ["i3", "i0"], "b": ["i3", "i1"], "c": ["i2", "i1"], "d": ["i2", "i1"], "e": ["i2", "i1"]}
    shop.publish(lists=lists, columns={"tier": ["popular", "popular", "personal", "personal", "personal"]})
    assert store_of(shop).fallback == (3, 1)
    twins = {**ITEMS, "i1": ITEMS["i3"]}
    shop.publish(
        "20261130T060000-bb", lists, items=twins, columns={"tier": ["popular"] * 2 + ["personal"] * 3}
    )
    assert store_of(shop).fallback == (3, 0)
    shop.publish("20261130T070000-cc", lists)
    assert store_of(shop).fallback == (1, 2), "without a list of popular items all lists count"


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    for content in (None, b"", b"no database" * 1000):
        if content is not None:
            (tmp_path / "data.mdb").write_bytes(content)
        with pytest.raises(FatalError, match="is no store of this service"):
            Store(tmp_path)
