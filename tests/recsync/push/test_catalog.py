"""The Braze catalog is in step with the items before people point at them."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
import requests
from kit import CATALOG, ITEMS, Kit

from recsync.errors import FatalError
from recsync.program import Rules
from recsync.recommend.lists.catalog import read_catalog
from recsync.warehouse.column_types import Kind

PEOPLE = 200


def test_items_of_kept_lists_stay_in_the_catalogue(kit: Kit) -> None:
    kit.write_program(catalog=CATALOG)
    lists = kit.lists(10)
    kit.push(kit.publish("1", lists))
    held = set(next(iter(lists.values())))
    fewer = {item: fields for item, fields in ITEMS.items() if item not in held}
    now = {who: [item for item in items if item in fewer] for who, items in lists.items()}
    who = next(iter(lists))
    report = kit.push(kit.publish("2", now, items=fewer, unanswered={who: "no line"}), dag_run="second")
    assert (report.outcomes["kept"], report.catalog_retired) == (1, 0)
    report = kit.push(kit.publish("3", {**now, who: list(fewer)[:5]}, items=fewer), dag_run="third")
    assert (report.outcomes["kept"], report.catalog_retired) == (0, 5)


def test_the_catalogue_is_there_before_the_lists_and_a_price_touches_nobody(kit: Kit) -> None:
    kit.write_program(catalog=CATALOG | {"name": kit.name})
    first = kit.push(kit.publish("1", kit.lists(PEOPLE)))
    assert first.catalog_items == len(ITEMS)
    dearer = {**ITEMS, "p-1": {"title": "Product 1", "price": 99.5}}
    second = kit.push(kit.publish("2", kit.lists(PEOPLE), items=dearer), dag_run="second")
    assert (second.catalog_items, second.outcomes["unchanged"], second.data_points) == (1, PEOPLE, 0)


def test_what_the_catalog_was_sent_is_what_braze_shows(kit: Kit) -> None:
    """Texts of the warehouse in fields of every type, on the way that a run takes; Braze coerces what it is sent."""
    types = {"title": "string", "price": "number", "sure": "boolean", "until": "time", "long": "number"}
    kit.write_program(catalog={"name": kit.name, "fields": types})
    texts = {
        "item_id": [*ITEMS], "title": ["1.90"] * len(ITEMS), "price": ["1.50"] * len(ITEMS), "sure": ["t"] * len(ITEMS),
        "until": ["2026-12-24 18:00:00+01"] * len(ITEMS), "long": ["12345678901234567"] * len(ITEMS),
    }  # fmt: skip
    rows = pa.RecordBatch.from_pydict({name: pa.array(column, pa.string()) for name, column in texts.items()})
    kinds = dict.fromkeys(types, Kind.TEXT)
    catalogue = read_catalog([rows], kinds, {**types}, Rules(), name="catalogue.sql")
    fields = dict(zip(catalogue.item_ids.to_pylist(), catalogue.table["fields"].to_pylist(), strict=True))
    items = {item_id: json.loads(text) for item_id, text in fields.items()}
    delivery = kit.push(kit.publish("1", kit.lists(PEOPLE), items=items))
    assert (delivery.catalog_items, delivery.outcomes["sent"]) == (len(ITEMS), PEOPLE)
    headers = {"Authorization": f"Bearer {kit.servers.key}"}
    url = f"{kit.servers.braze}/catalogs/{kit.name}/items/p-1"
    (shown,) = requests.get(url, headers=headers, timeout=30).json()["items"]
    assert {name: shown[name] for name in ("title", "price", "sure", "long")} == {
        "title": "1.90", "price": 1.5, "sure": True, "long": 12345678901234567,
    }  # fmt: skip


def test_arrays_and_objects_of_the_catalog_are_what_braze_shows(kit: Kit) -> None:
    types = {"tags": "array", "details": "object"}
    kit.write_program(catalog={"name": kit.name, "fields": types})
    details = '{"weight": 1.10, "sizes": ["s", "m"], "maker": {"name": "\u00c4", "since": null}}'
    rows = pa.RecordBatch.from_pydict(
        {
            "item_id": pa.array([*ITEMS], pa.string()),
            "tags": pa.array(["red|new"] * len(ITEMS), pa.string()),
            "details": pa.array([details, '{"a.b": 1}', *[None] * (len(ITEMS) - 2)], pa.string()),
        }
    )
    kinds = {"tags": Kind.ARRAY, "details": Kind.JSON}
    catalogue = read_catalog([rows], kinds, {**types}, Rules(), name="catalogue.sql")
    assert (len(catalogue), catalogue.report.quarantined) == (len(ITEMS) - 1, 1)
    names, texts = (catalogue.table[name].to_pylist() for name in ("item_id", "fields"))
    items = {item_id: json.loads(text) for item_id, text in zip(names, texts, strict=True)}
    lists = {who: [item for item in chosen if item in items] for who, chosen in kit.lists(20).items()}
    delivery = kit.push(kit.publish("1", lists, items=items))
    assert delivery.catalog_items == len({item for chosen in lists.values() for item in chosen}), (
        "those that a list names"
    )
    headers = {"Authorization": f"Bearer {kit.servers.key}"}
    url = f"{kit.servers.braze}/catalogs/{kit.name}/items/p-0"
    (shown,) = requests.get(url, headers=headers, timeout=30).json()["items"]
    assert (shown["tags"], shown["details"]) == (["red", "new"], json.loads(details))
    again = kit.push(kit.publish("2", lists, items=items), dag_run="again")
    assert again.catalog_items == 0


def test_an_item_is_retired_once_nobody_points_at_it(kit: Kit) -> None:
    kit.write_program(catalog=CATALOG | {"name": kit.name}, delivery={"max_users_per_run": 100})
    kit.push(kit.publish("1", kit.lists(60)))
    left = {item: fields for item, fields in ITEMS.items() if item != "p-3"}
    without = {who: [i for i in items if i != "p-3"] + ["p-9"] for who, items in kit.lists(60).items()}
    without = {who: list(dict.fromkeys(items))[:5] for who, items in without.items()}
    kit.write_program(catalog=CATALOG | {"name": kit.name}, delivery={"max_users_per_run": 2})
    waiting = kit.push(kit.publish("2", without, items=left), dag_run="second")
    assert waiting.outcomes["deferred"] > 0
    assert waiting.catalog_retired == 0, "somebody's list still points at it"
    kit.write_program(catalog=CATALOG | {"name": kit.name})
    done = kit.push(kit.publish("3", without, items=left), dag_run="third")
    assert done.catalog_retired == 1
    assert kit.in_braze() == without


def test_a_resync_writes_the_catalog_anew(kit: Kit) -> None:
    catalog = CATALOG | {"name": kit.name}
    kit.write_program(catalog=catalog)
    kit.push(kit.publish("1", kit.lists(60)))
    headers = {"Authorization": f"Bearer {kit.servers.key}"}
    answer = requests.delete(f"{kit.servers.braze}/catalogs/{kit.name}", headers=headers, timeout=30)
    answer.raise_for_status()
    report = kit.push("1", dag_run="second", resync=True)
    assert report.catalog_items == len(ITEMS)
    items = requests.get(f"{kit.servers.braze}/_local/items.ndjson", params={"catalog": kit.name}, timeout=30)
    assert len(items.text.splitlines()) == len(ITEMS)


def test_a_catalog_value_that_braze_refuses_names_field_and_file_and_not_the_value(kit: Kit) -> None:
    kit.write_program(catalog={"name": kit.name, "fields": {"title": "string", "price": "number"}})
    items = {"p-1": {"title": "Product 1", "price": "price on request"}}
    run = kit.publish("1", {f"{kit.name}-1": ["p-1"]}, items=items)
    with pytest.raises(FatalError, match=rf"catalog {kit.name} because of price: HTTP 400") as caught:
        kit.push(run)
    assert f"include/sql/{kit.name}/catalogue.sql" in str(caught.value)
    assert "on request" not in str(caught.value)
    assert kit.in_braze() == {}
