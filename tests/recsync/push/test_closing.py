"""A full resync: everybody is written anew, once, whatever stops it in between."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from kit import Kit

from recsync.errors import RETRIABLE, FatalError
from recsync.push.store import LastSent

PEOPLE = 300


def lose(kit: Kit, people: list[str]) -> None:
    """Delete profiles in Braze and make them anew, as somebody else's job may."""
    headers = {"Authorization": f"Bearer {kit.servers.key}"}
    for path, body in (
        ("/users/delete", {"external_ids": people}),
        ("/users/track", {"attributes": [{"external_id": who, "plan": "gold"} for who in people]}),
    ):
        answer = requests.post(f"{kit.servers.braze}{path}", json=body, headers=headers, timeout=30)
        answer.raise_for_status()
        kit.servers.control("POST", "flush")


def test_people_who_were_deleted_and_made_anew_in_braze_get_their_lists_back(kit: Kit) -> None:
    from recsync.push.plan import plan, summary

    lists = kit.lists(PEOPLE)
    kit.push(kit.publish("1", lists))
    lose(kit, list(lists)[:20])
    usual = kit.push("1", dag_run="second")
    assert usual.outcomes["unchanged"] == PEOPLE
    assert len(kit.in_braze()) == PEOPLE - 20, "the last-sent state does not know of it"
    told = summary(plan(kit.name, "1", dag_run="look", dry_run=True, resync=True))
    assert (told["writes"], told["data_points"], told["resync"]) == (PEOPLE, PEOPLE, True)
    report = kit.push("1", dag_run="third", resync=True)
    assert (report.outcomes["sent"], report.data_points) == (PEOPLE, PEOPLE)
    assert kit.in_braze() == lists
    assert kit.push("1", dag_run="fourth").outcomes["unchanged"] == PEOPLE, "a resync ends"


def test_a_resync_removes_from_those_who_left_and_stops_at_too_many_of_them(kit: Kit) -> None:
    lists = kit.lists(PEOPLE)
    kit.push(kit.publish("1", lists))
    few = dict(list(lists.items())[200:])
    kit.publish("2", few)
    with pytest.raises(FatalError, match=r"200 of the 300 people"):
        kit.push("2", dag_run="second", resync=True)
    assert kit.push("1", dag_run="third").outcomes["unchanged"] == PEOPLE, "nothing was forgotten"
    kit.publish("3", dict(list(lists.items())[8:]))
    report = kit.push("3", dag_run="fourth", resync=True)
    assert (report.outcomes["sent"], report.left_audience) == (PEOPLE - 8, 8)


@pytest.mark.parametrize("again", [{}, {"resync": True}], ids=["a usual push", "a resync"])
def test_a_resync_that_was_stopped_goes_on_with_those_who_are_left(kit: Kit, again: dict[str, Any]) -> None:
    lists = kit.lists(PEOPLE)
    kit.push(kit.publish("1", lists))
    lose(kit, list(lists)[:20])
    kit.reset_meter()
    kit.servers.control(
        "POST", "faults", json={"path": "/users/track", "status": 503, "times": 1000, "skip": 2}
    )
    with pytest.raises(RETRIABLE):
        kit.push("1", dag_run="second", resync=True)
    kit.servers.control("DELETE", "faults")
    report = kit.push("1", dag_run="third", **again)
    assert (report.outcomes["sent"], report.outcomes["unchanged"]) == (PEOPLE - 150, 150)
    assert kit.in_braze() == lists
    assert kit.servers.control("GET", "writes", params={"min": 2})["by_user"] == {}, "nobody twice"
    assert kit.push("1", dag_run="fourth").outcomes["unchanged"] == PEOPLE
    assert kit.push("1", dag_run="fifth", resync=True).outcomes["sent"] == PEOPLE, "the next one is another"


def test_the_retry_of_a_resync_goes_on_with_its_own_plan(kit: Kit) -> None:
    lists = kit.lists(PEOPLE)
    kit.push(kit.publish("1", lists))
    kit.reset_meter()
    kit.servers.control(
        "POST", "faults", json={"path": "/users/track", "status": 503, "times": 1000, "skip": 2}
    )
    with pytest.raises(RETRIABLE):
        kit.push("1", dag_run="second", resync=True)
    kit.servers.control("DELETE", "faults")
    report = kit.push("1", dag_run="second", resync=True)
    assert (report.outcomes["sent"], report.tries) == (PEOPLE, 2)
    assert report.answers["201"] == 4, "of both tries"
    assert kit.servers.control("GET", "writes", params={"min": 2})["by_user"] == {}


def test_a_resync_that_nobody_approved_forgets_nothing(kit: Kit) -> None:
    from recsync.push.plan import plan

    lists = kit.lists(50)
    kit.push(kit.publish("1", lists))
    assert plan(kit.name, "1", dag_run="second", resync=True).figures.writes == 50
    assert kit.push("1", dag_run="third").outcomes["unchanged"] == 50


def test_a_capped_resync_goes_on_until_everybody_is_written(kit: Kit) -> None:
    kit.push(kit.publish("1", kit.lists(100)))
    kit.write_program(delivery={"max_users_per_run": 40})
    kit.reset_meter()
    left = [100, 60, 20]
    for number, people in enumerate(left):
        report = kit.push("1", dag_run=f"again-{number}", resync=number < 2)
        assert report.outcomes["sent"] == min(40, people)
        assert report.outcomes["unchanged"] == 100 - people
    assert kit.servers.control("GET", "writes", params={"min": 2})["by_user"] == {}
    assert kit.context.store(LastSent).read()[0].resync == ""
