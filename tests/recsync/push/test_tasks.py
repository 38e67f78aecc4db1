"""What the operators of the push ask and return."""

from __future__ import annotations

from kit import Kit

PEOPLE = 120


def test_where_people_approve_the_brake_asks_them(kit: Kit) -> None:
    from recsync.push.plan import plan, summary
    from recsync.push.tasks import _question

    lists = kit.lists(PEOPLE)
    kit.push(kit.publish("1", lists))
    kit.write_program(delivery={"approve_above_users": 1_000})
    told = summary(plan(kit.name, kit.publish("2", dict(list(lists.items())[:3])), dag_run="second"))
    assert told["people"] < 1_000
    assert "**Many lists go: 117 of the 120 people" in _question({**told, "cost": ""})
