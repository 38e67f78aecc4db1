"""A delivery brings Braze in step with the recommendations, and sends only what differs."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from kit import CATALOG, ITEMS, Kit

from recsync.program import Rules
from recsync.push.store import Deliveries
from recsync.recommend.lists.catalogue import read_catalogue
from recsync.warehouse.query_columns import Kind

PEOPLE = 200


def test_everybody_gets_the_list_and_a_second_delivery_sends_nothing(kit: Kit) -> None:
    report = kit.push(kit.publish("1", kit.lists(PEOPLE)))
    assert report.outcomes["sent"] == PEOPLE
    assert kit.in_braze() == kit.lists(PEOPLE)
    again = kit.push(kit.publish("2", kit.lists(PEOPLE)), dag_run="second")
    assert again.outcomes["unchanged"] == PEOPLE
    assert sum(again.outcomes.values()) == PEOPLE
    assert again.answers == {}


def test_a_second_delivery_writes_exactly_the_changed_lists_for_one_data_point_each(kit: Kit) -> None:
    lists = kit.lists(PEOPLE)
    kit.push(kit.publish("1", lists))
    kit.reset_meter()
    changed = dict(list(kit.lists(PEOPLE, shift=7).items())[:20])
    report = kit.push(kit.publish("2", {**lists, **changed}), dag_run="second")
    assert (report.outcomes["sent"], report.outcomes["unchanged"]) == (20, PEOPLE - 20)
    assert kit.in_braze() == {**lists, **changed}
    meter = kit.servers.control("GET", "meter")
    assert meter["attributes"]["recs"]["points"] == 20 == report.data_points
    assert meter["attributes"]["recs"]["unchanged"] == 0


def test_whoever_has_no_list_any_more_loses_the_attribute_once(kit: Kit) -> None:
    kit.push(kit.publish("1", kit.lists(PEOPLE)))
    fewer = dict(list(kit.lists(PEOPLE).items())[10:])
    emptied, newcomer = next(iter(fewer)), f"{kit.name}-new"
    report = kit.push(kit.publish("2", {**fewer, emptied: [], newcomer: []}), dag_run="second")
    assert (report.left_audience, report.outcomes["removed"], report.outcomes["suppressed"]) == (10, 1, 1)
    del fewer[emptied]
    assert kit.in_braze() == fewer
    third = kit.push(kit.publish("3", {**fewer, emptied: [], newcomer: []}), dag_run="third")
    assert (third.left_audience, third.outcomes["removed"], third.outcomes["suppressed"]) == (0, 0, 2)
    assert newcomer not in kit.servers.profiles(), "nobody is created to have nothing"


def test_whoever_has_no_answer_keeps_the_list_for_a_week(kit: Kit) -> None:
    lists = kit.lists(PEOPLE)
    silent = dict.fromkeys(list(lists)[:8], "no line")
    newcomer, refilled = f"{kit.name}-new", next(iter(silent))
    fallback = ["p-58", "p-59"]
    kit.push(kit.publish("1", lists))

    def push(day: int, unanswered: dict[str, str]) -> Any:
        changed = {who: [] for who in unanswered} | {newcomer: []}
        if refilled in unanswered:
            changed[refilled] = fallback
        run = kit.publish(str(day), {**lists, **changed}, unanswered=unanswered)
        return kit.push(run, dag_run=run)

    report = push(3, {**silent, newcomer: "no line"})
    assert report.outcomes == {
        **dict.fromkeys(report.outcomes, 0),
        "unchanged": PEOPLE - 8,
        "kept": 8,
        "suppressed": 1,
    }
    assert report.reasons == {"no line": 8, "nothing fit to mail": 1}
    assert kit.in_braze() == lists
    late = dict.fromkeys(list(silent)[4:], "an error")
    assert push(9, late).outcomes["kept"] == 4
    report = push(11, silent)
    assert (report.outcomes["kept"], report.outcomes["removed"]) == (4, 4), "an answer begins the week anew"
    assert kit.in_braze() == {who: items for who, items in lists.items() if who not in late}
    assert push(17, silent).outcomes["kept"] == 4
    report = push(18, silent)
    assert (report.outcomes["sent"], report.outcomes["removed"], report.outcomes["suppressed"]) == (1, 3, 5)
    fallback[:] = ["p-57", "p-58"]
    assert push(19, silent).outcomes["sent"] == 1, "a fallback is no list to keep"
    assert kit.in_braze()[refilled] == ["p-57", "p-58"]
    assert push(20, {}).outcomes["sent"] == 8
    assert kit.in_braze() == lists


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


def test_the_account_names_every_person_once(kit: Kit, tmp_path_factory: pytest.TempPathFactory) -> None:
    kit.push(kit.publish("1", kit.lists(30)))
    lists = {**kit.lists(20), **dict(list(kit.lists(40, shift=3).items())[30:]), f"{kit.name}-x": []}
    report = kit.push(kit.publish("2", lists), dag_run="second")
    path = tmp_path_factory.mktemp("accounts") / "accounts.parquet"
    kit.context.store(Deliveries).download_accounts(report.delivery, path)
    rows = pq.read_table(path).to_pylist()
    assert sorted(row["external_id"] for row in rows) == sorted(lists)
    outcomes = {row["external_id"]: row["outcome"] for row in rows}
    assert outcomes[f"{kit.name}-000005"] == "unchanged"
    assert outcomes[f"{kit.name}-000035"] == "sent"
    assert outcomes[f"{kit.name}-x"] == "suppressed"


def test_a_renamed_attribute_leaves_nothing_behind(kit: Kit) -> None:
    kit.push(kit.publish("1", kit.lists(PEOPLE)))
    kit.write_program(attribute="recs_new")
    report = kit.push(kit.publish("2", kit.lists(PEOPLE)), dag_run="second")
    assert report.outcomes["sent"] == PEOPLE
    assert kit.in_braze("recs_new") == kit.lists(PEOPLE)
    assert kit.in_braze("recs") == {}
    assert report.answers == {"201": 3}, "old and new value travel in one object"


def test_a_tier_attribute_travels_alone_when_only_it_changes(kit: Kit) -> None:
    kit.write_program(tier_attribute="recs_tier")
    lists = kit.lists(10)
    kit.push(kit.publish("1", lists))
    assert set(kit.in_braze("recs_tier").values()) == {"personal"}
    kit.reset_meter()
    first = next(iter(lists))
    report = kit.push(kit.publish("2", lists, tiers={first: "popular"}), dag_run="second")
    assert (report.outcomes["sent"], report.data_points) == (1, 1)
    assert kit.in_braze("recs_tier")[first] == "popular"
    assert "recs" not in kit.servers.control("GET", "meter")["attributes"]


def test_objects_hold_the_item_fields(kit: Kit) -> None:
    kit.write_program(payload="objects", item_fields=["title", "price"])
    report = kit.push(kit.publish("1", kit.lists(5)))
    assert kit.in_braze() == {
        who: [{"id": item, **ITEMS[item]} for item in items] for who, items in kit.lists(5).items()
    }
    assert report.data_points == 5 * 5 * 3
    again = kit.push(kit.publish("2", kit.lists(5)), dag_run="second")
    assert again.outcomes["unchanged"] == 5


def test_a_value_that_braze_would_drop_silently_is_rejected_and_counted(kit: Kit) -> None:
    kit.write_program(payload="objects", item_fields=["title", "price"])
    items = {**ITEMS, **{f"big-{n}": {"title": "x" * 250, "price": n} for n in range(500)}}
    heavy = f"{kit.name}-heavy"
    report = kit.push(kit.publish("1", {**kit.lists(5), heavy: list(items)[-400:]}, items=items))
    assert (report.outcomes["sent"], report.outcomes["rejected"]) == (5, 1)
    assert any("silently" in reason for reason in report.reasons)
    assert heavy not in kit.in_braze()


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
    catalogue = read_catalogue([rows], kinds, {**types}, Rules(), name="catalogue.sql")
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


def test_objects_become_ids_without_a_stale_value_or_a_missing_item(kit: Kit) -> None:
    kit.write_program(payload="objects", item_fields=["title", "price"])
    kit.push(kit.publish("1", kit.lists(PEOPLE)))
    kit.write_program(catalog=CATALOG | {"name": kit.name})
    fewer = kit.lists(PEOPLE - 5)
    report = kit.push(kit.publish("2", fewer), dag_run="second")
    assert (report.outcomes["sent"], report.left_audience) == (PEOPLE - 5, 5)
    assert kit.in_braze() == fewer
