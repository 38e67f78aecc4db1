"""A delivery brings Braze in step with the recommendations, and sends only what differs."""

from __future__ import annotations

from typing import Any

import pyarrow.parquet as pq
import pytest
from kit import CATALOG, ITEMS, Kit

from recsync.errors import FatalError
from recsync.push.store import Deliveries
from recsync.push.verify import verify

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


def test_further_attributes_arrive_are_verified_and_removed(kit: Kit) -> None:
    sources = ["scores", "generated_at", "version"]
    kit.write_program(attributes=[{"name": f"recs_{source}", "from": source} for source in sources])
    lists = kit.lists(10)
    scores = {who: [0.5, 0.25, 0.25, 0.125, None] for who in lists}
    report = kit.push(kit.publish("1", lists, scores=scores))
    assert (report.outcomes["sent"], report.data_points) == (10, 40)
    assert verify(kit.name, report.delivery, dag_run="test")["drifted"] == 0
    who = next(iter(lists))
    assert kit.in_braze("recs_scores")[who] == [0.5, 0.250000001, 0.25, 0.125, -5]
    assert kit.in_braze("recs_version")[who] == "shop/v-1"
    assert kit.in_braze("recs_generated_at")[who] == "2026-01-02T00:01:00Z"
    changed = kit.push(kit.publish("2", {**lists, who: lists[who][::-1]}, scores=scores), dag_run="second")
    assert (changed.outcomes["sent"], changed.data_points) == (1, 2)
    assert set(kit.in_braze("recs_generated_at").values()) == {"2026-01-02T00:01:00Z", "2026-01-03T00:01:00Z"}
    removed = kit.push(kit.publish("3", {}), dag_run="third", allow_removals=True)
    assert (removed.left_audience, removed.data_points) == (10, 40)
    assert verify(kit.name, removed.delivery, dag_run="test")["drifted"] == 0
    assert not any(kit.in_braze(f"recs_{source}") for source in sources)


def test_attributes_of_a_program_that_were_never_sent_wait_for_another_change(kit: Kit) -> None:
    lists = kit.lists(10)
    kit.push(kit.publish("1", lists))
    kit.write_program(attributes=[{"name": "recs_version", "from": "version"}])
    assert kit.push(kit.publish("2", lists), dag_run="second").answers == {}
    assert kit.push(kit.publish("3", lists), dag_run="third", resync=True).data_points == 20
    assert set(kit.in_braze("recs_version").values()) == {"shop/v-1"}


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


def test_objects_become_ids_without_a_stale_value_or_a_missing_item(kit: Kit) -> None:
    kit.write_program(payload="objects", item_fields=["title", "price"])
    kit.push(kit.publish("1", kit.lists(PEOPLE)))
    kit.write_program(catalog=CATALOG | {"name": kit.name})
    fewer = kit.lists(PEOPLE - 5)
    report = kit.push(kit.publish("2", fewer), dag_run="second")
    assert (report.outcomes["sent"], report.left_audience) == (PEOPLE - 5, 5)
    assert kit.in_braze() == fewer


def test_the_canary_is_sent_first_and_read_back(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    kit.write_program(delivery={"canary_share": 0.1})
    # Airflow sets up logging anew at its first connection, and takes other handlers away.
    kit.push(kit.publish("0", kit.lists(1)), dag_run="first")
    with caplog.at_level("INFO"):
        report = kit.push(kit.publish("1", kit.lists(120, shift=1)))
    assert report.outcomes["sent"] == 120
    assert "Canary: 12 of 12 people read back have what was sent" in caplog.text


def test_nobody_else_is_written_when_braze_shows_nothing_of_the_canary(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsync.push import read_back

    monkeypatch.setattr(read_back, "WAITS_SECONDS", (0.5, 0.5))
    kit.write_program(delivery={"canary_share": 0.1})
    drop = {"path": "/users/track", "kind": "drop", "object_probability": 1, "times": None}
    kit.servers.control("POST", "faults", json=drop)
    with pytest.raises(FatalError, match=r"shows it for none of 12 people.*Data Settings"):
        kit.push(kit.publish("1", kit.lists(120)))
    kit.servers.control("DELETE", "faults")
    assert kit.in_braze() == {}
