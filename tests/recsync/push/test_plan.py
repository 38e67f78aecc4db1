"""Budgets and brakes: caps, dry runs, the canary, and what a person is told before and after."""

from __future__ import annotations

import pytest
from kit import Kit

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


def test_the_brake_counts_removals_over_a_cap(kit: Kit) -> None:
    from recsync.push.plan import RemovalBrakeError, plan

    lists = kit.lists(30)
    kit.push(kit.publish("1", lists))
    kit.write_program(delivery={"max_users_per_run": 5})
    kit.publish("2", dict(list(lists.items())[15:]))
    with pytest.raises(RemovalBrakeError, match="15 of the 30 people"):
        plan(kit.name, "2", dag_run="second")
