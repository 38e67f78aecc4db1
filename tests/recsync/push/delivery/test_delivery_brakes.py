"""Budgets and brakes: caps, dry runs, the canary, and what a person is told before and after."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from kit import Kit

from recsync.errors import FatalError

PEOPLE = 120


def test_a_cap_defers_the_people_of_lowest_priority_and_the_next_delivery_takes_them(kit: Kit) -> None:
    kit.write_program(delivery={"max_users_per_run": 50})
    lists = kit.lists(PEOPLE)
    priorities = {who: float(n) for n, who in enumerate(lists)}
    first = kit.push(kit.publish("1", lists, priorities=priorities))
    assert (first.outcomes["sent"], first.outcomes["deferred"]) == (50, 70)
    assert set(kit.in_braze()) == set(list(lists)[-50:])
    second = kit.push("1", dag_run="second")
    assert (second.outcomes["sent"], second.outcomes["unchanged"]) == (50, 50)
    assert set(kit.in_braze()) == set(list(lists)[-100:])


def test_a_daily_cap_counts_what_was_written_today(kit: Kit) -> None:
    kit.write_program(delivery={"max_users_per_day": 100})
    kit.push(kit.publish("1", kit.lists(80)))
    report = kit.push(kit.publish("2", kit.lists(80, shift=1)), dag_run="second")
    assert (report.outcomes["sent"], report.outcomes["deferred"]) == (20, 60)


def test_removals_come_before_a_cap_bites(kit: Kit) -> None:
    kit.push(kit.publish("1", kit.lists(20)))
    kit.write_program(delivery={"max_users_per_run": 10})
    stay = dict(list(kit.lists(20, shift=1).items())[10:])
    report = kit.push(kit.publish("2", stay), dag_run="second")
    assert (report.left_audience, report.outcomes["deferred"]) == (10, 10)
    assert set(kit.in_braze()) == set(stay)


def test_a_dry_run_plans_and_sends_nothing(kit: Kit) -> None:
    from recsync.push.deliver import DryRunError, deliver
    from recsync.push.plan import plan, summary

    manifest = plan(kit.name, kit.publish("1", kit.lists(PEOPLE)), dag_run="test", dry_run=True)
    figures = summary(manifest)
    assert (figures["people"], figures["writes"], figures["data_points"]) == (PEOPLE, PEOPLE, PEOPLE)
    assert figures["requests"] == 2
    sample = kit.context.bucket.get_json(f"{kit.name}/deliveries/{manifest.delivery}/sample.json")
    assert sample[0]["object"]["recs"] == kit.lists(PEOPLE)[sample[0]["object"]["external_id"]]
    with pytest.raises(DryRunError):
        deliver(kit.name, manifest.delivery)
    assert kit.in_braze() == {}
    assert kit.push("1").outcomes["sent"] == PEOPLE, "a dry run leaves nothing behind"


def test_the_canary_is_sent_first_and_read_back(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    kit.write_program(delivery={"canary_share": 0.1})
    # Airflow sets up logging anew at its first connection, and takes other handlers away.
    kit.push(kit.publish("0", kit.lists(1)), dag_run="first")
    with caplog.at_level("INFO"):
        report = kit.push(kit.publish("1", kit.lists(PEOPLE, shift=1)))
    assert report.outcomes["sent"] == PEOPLE
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
        kit.push(kit.publish("1", kit.lists(PEOPLE)))
    kit.servers.control("DELETE", "faults")
    assert kit.in_braze() == {}


def test_people_whom_braze_took_and_lost_are_found_and_written_again(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsync.push import read_back
    from recsync.push.verify import verify

    monkeypatch.setattr(read_back, "WAITS_SECONDS", (0.5, 1, 1))
    lists = kit.lists(PEOPLE)
    drop = {"path": "/users/track", "kind": "drop", "external_ids": list(lists)[:3], "times": None}
    kit.servers.control("POST", "faults", json=drop)
    report = kit.push(kit.publish("1", lists))
    assert report.outcomes["sent"] == PEOPLE
    kit.servers.control("DELETE", "faults")
    assert len(kit.in_braze()) == PEOPLE - 3
    found = verify(kit.name, report.delivery, dag_run="test")
    assert (found["drifted"], found["still_drifted"], len(found["repairs"])) == (3, 0, 1)
    assert kit.in_braze() == lists


def test_a_key_that_may_not_read_back_does_not_fail_the_delivery(kit: Kit) -> None:
    from recsync.push.verify import verify

    kit.servers.control("POST", "faults", json={"path": "/users/export/ids", "status": 403, "times": 100})
    report = kit.push(kit.publish("1", kit.lists(10)))
    found = verify(kit.name, report.delivery, dag_run="test")
    assert "403" in found["skipped"]


def test_a_short_audience_takes_nobodys_list_away(kit: Kit) -> None:
    from recsync.push.plan import RemovalBrakeError, plan, summary

    lists = kit.lists(PEOPLE)
    kit.push(kit.publish("1", lists))
    # Three of the audience, one of them without recommendations.
    short = {who: items if n else [] for n, (who, items) in enumerate(list(lists.items())[:3])}
    kit.publish("2", short)
    told = summary(plan(kit.name, "2", dag_run="look", dry_run=True))
    assert told["brake"].startswith("118 of the 120 people who have a list would lose it (98%)")
    with pytest.raises(
        RemovalBrakeError,
        match=r"118 of the 120 .* 117 are not in the audience any more, 1 have no .*allow_removals",
    ):
        kit.push("2", dag_run="second")
    assert kit.in_braze() == lists
    repaired = kit.push(kit.publish("3", kit.lists(PEOPLE, shift=1)), dag_run="third")
    assert repaired.outcomes["sent"] == PEOPLE
    meant = kit.push(kit.publish("4", short), dag_run="fourth", allow_removals=True)
    assert (meant.left_audience, meant.outcomes["removed"], meant.outcomes["sent"]) == (117, 1, 2)
    assert kit.in_braze() == {who: items for who, items in short.items() if items}


@pytest.mark.parametrize(
    ("people", "leave", "delivery", "stops"),
    [
        (100, 10, {}, False),  # no more than ten
        (100, 11, {}, True),
        (200, 20, {}, False),  # no more than ten percent
        (100, 40, {"max_removed_share": 0.5}, False),
        (100, 100, {"max_removed_share": 1}, False),
        (100, 50, {"max_users_per_run": 5}, True),  # a cap makes many small steps of it
    ],
)
def test_the_brake_on_removals_needs_more_than_ten_people_and_more_than_the_share(
    kit: Kit, people: int, leave: int, delivery: dict[str, float], stops: bool
) -> None:
    from recsync.push.plan import RemovalBrakeError, plan

    lists = kit.lists(people)
    kit.push(kit.publish("1", lists))
    kit.write_program(delivery=delivery)
    kit.publish("2", dict(list(lists.items())[leave:]))
    with pytest.raises(RemovalBrakeError) if stops else nullcontext():
        plan(kit.name, "2", dag_run="second")


def test_where_people_approve_the_brake_asks_them(kit: Kit) -> None:
    from recsync.push.plan import plan, summary
    from recsync.push.tasks import _question

    lists = kit.lists(PEOPLE)
    kit.push(kit.publish("1", lists))
    kit.write_program(delivery={"approve_above_users": 1_000})
    told = summary(plan(kit.name, kit.publish("2", dict(list(lists.items())[:3])), dag_run="second"))
    assert told["people"] < 1_000
    assert "**Many lists go: 117 of the 120 people" in _question({**told, "cost": ""})
