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


def test_lists_that_an_experiment_takes_away_are_told_apart_and_stop_nothing(kit: Kit) -> None:
    from recsync.push.plan import plan, summary
    from recsync.push.tasks import _question

    lists = kit.lists(PEOPLE)
    kit.push(kit.publish("1", lists))
    out = dict.fromkeys(list(lists)[: PEOPLE // 2], "out")
    run = kit.publish("2", {**lists, **{who: [] for who in out}}, arms=out, held_out="out")
    told = summary(plan(kit.name, run, dag_run="second"))
    assert (told["brake"], told["removals"], told["losing"]) == ("", PEOPLE // 2, 0)
    question = _question({**told, "cost": ""})
    assert (
        f"| lose their list | {PEOPLE // 2} |\n| of them held out by the experiment | {PEOPLE // 2} |"
        in question
    )
