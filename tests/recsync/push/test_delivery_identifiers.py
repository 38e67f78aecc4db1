"""Deliveries to people whom Braze knows by another identifier than external_id."""

from __future__ import annotations

import json
import logging

import pyarrow.parquet as pq
import pytest
from crowd import LABEL, NAMES, Crowd
from kit import Kit

from recsync.errors import FatalError
from recsync.push import read_back
from recsync.push.store import Deliveries, LastSent


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The local Braze applies a write after 0.2 s."""
    monkeypatch.setattr(read_back, "WAITS_SECONDS", (0.4, 1.0, 2.0, 3.0))


@pytest.fixture(params=NAMES)
def crowd(kit: Kit, request: pytest.FixtureRequest) -> Crowd:
    """People by each identifier. The whole way goes with all of them; tests of one part of it take two."""
    made = Crowd(kit, request.param)
    made.write_program()
    return made


def total(crowd: Crowd) -> int:
    return int(crowd.kit.servers.control("GET", "profiles", params={"limit": 1})["total"])


def test_a_delivery_reaches_them_once_and_takes_the_list_away_again(
    crowd: Crowd, caplog: pytest.LogCaptureFixture
) -> None:
    from recsync.push.verify import verify

    caplog.set_level(logging.DEBUG)
    kit, people = crowd.kit, crowd.people
    before, lists = total(crowd), crowd.lists()
    kit.reset_meter()
    first = kit.push(kit.publish("1", {**lists, crowd.unknown(): ["p-1"]}))
    assert (first.outcomes["sent"], first.outcomes["rejected"]) == (6, 1)
    assert any("unknown to Braze" in reason or "not an existing user" in reason for reason in first.reasons)
    assert crowd.shown() == lists
    assert total(crowd) == before, "nobody is created"
    found = verify(kit.name, first.delivery, dag_run="test")
    assert (found["read_back"], found["drifted"]) == (6, 0)
    meter = kit.servers.control("GET", "meter")
    assert meter["data_points"]["total"] == first.data_points == 6
    again = kit.push(kit.publish("2", lists), dag_run="again")
    assert (again.outcomes["unchanged"], again.data_points) == (6, 0)
    left = kit.push(kit.publish("3", crowd.lists(*people[:3])), dag_run="left", allow_removals=True)
    assert (left.outcomes["unchanged"], left.left_audience) == (3, 3)
    assert crowd.shown() == {**dict.fromkeys(people), **crowd.lists(*people[:3])}
    assert not [who for who in people if who in caplog.text]


@pytest.mark.parametrize("crowd", ["braze_id", "email"], indirect=True)
def test_an_unreadable_answer_is_decided_by_what_braze_shows(crowd: Crowd) -> None:
    fault = {"path": "/users/track", "kind": "status", "status": 201, "body": "ok", "apply": True, "times": 1}
    crowd.kit.servers.control("POST", "faults", json=fault)
    report = crowd.kit.push(crowd.kit.publish("1", crowd.lists()))
    assert report.outcomes["sent"] == 6
    assert sum(report.answers.values()) > 1
    assert crowd.kit.servers.control("GET", "writes", params={"min": 2})["by_user"] == {}


@pytest.mark.parametrize("crowd", ["user_alias", "phone"], indirect=True)
def test_what_braze_refused_is_replayed(crowd: Crowd) -> None:
    from recsync.push.deliver import deliver
    from recsync.push.replay import replay

    kit, bad = crowd.kit, crowd.people[2]
    fault = {"path": "/users/track", "kind": "reject", "error_type": "bad", "external_ids": [bad]}
    kit.servers.control("POST", "faults", json=fault)
    first = kit.push(kit.publish("1", crowd.lists()))
    assert (first.outcomes["sent"], first.outcomes["rejected"]) == (5, 1)
    assert crowd.shown()[bad] is None
    planned = replay(kit.name, first.delivery, dag_run="replay")
    assert deliver(kit.name, planned.delivery).outcomes["sent"] == 1
    assert crowd.shown() == crowd.lists()
    second = kit.push(kit.publish("2", crowd.lists()), dag_run="second")
    assert second.outcomes["unchanged"] == 6


@pytest.mark.parametrize("crowd", ["braze_id", "email"], indirect=True)
def test_drift_is_found_and_repaired(crowd: Crowd) -> None:
    from recsync.push.verify import verify

    kit, bad = crowd.kit, crowd.people[1]
    fault = {"path": "/users/track", "kind": "drop", "external_ids": [bad], "times": 1}
    kit.servers.control("POST", "faults", json=fault)
    first = kit.push(kit.publish("1", crowd.lists()))
    assert crowd.shown()[bad] is None
    found = verify(kit.name, first.delivery, dag_run="test")
    assert (found["drifted"], found["still_drifted"]) == (1, 0)
    assert crowd.shown() == crowd.lists()


@pytest.mark.parametrize(("name", "bad"), [("email", "ann at example.com"), ("phone", "0151 12345678")])
def test_what_braze_cannot_take_is_rejected_with_a_reason(
    kit: Kit, name: str, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    crowd = Crowd(kit, name, 3)
    crowd.write_program()
    report = kit.push(kit.publish("1", {**crowd.lists(), bad: ["p-1"]}))
    assert (report.outcomes["sent"], report.outcomes["rejected"]) == (3, 1)
    assert [reason for reason in report.reasons if "not a" in reason]
    assert bad not in caplog.text + json.dumps(report.reasons)
    folder = kit.include / "accounts.parquet"
    kit.context.store(Deliveries).download_accounts(report.delivery, folder)
    outcomes = {row["external_id"]: row["outcome"] for row in pq.read_table(folder).to_pylist()}
    assert outcomes[bad] == "rejected"
    again = kit.push(kit.publish("2", {**crowd.lists(), bad: ["p-1"]}), dag_run="again")
    assert (again.outcomes["unchanged"], again.outcomes["rejected"]) == (3, 1)


@pytest.mark.parametrize("name", ["user_alias", "email", "phone"])
def test_unknown_people_are_created_when_the_program_says_so(kit: Kit, name: str) -> None:
    crowd = Crowd(kit, name, 2)
    crowd.write_program()
    label = {"alias_label": LABEL} if name == "user_alias" else {}
    kit.write_program(identifier=name, update_existing_only=False, **label)
    before, unknown = total(crowd), crowd.unknown()
    crowd.people.append(unknown)
    report = kit.push(kit.publish("1", crowd.lists()))
    assert report.outcomes["sent"] == 3
    assert crowd.shown() == crowd.lists()
    assert total(crowd) == before + 1


def test_a_braze_id_never_creates_anybody(kit: Kit) -> None:
    crowd = Crowd(kit, "braze_id", 2)
    kit.write_program(identifier="braze_id", update_existing_only=False)
    before = total(crowd)
    report = kit.push(kit.publish("1", {**crowd.lists(), crowd.unknown(): ["p-1"]}))
    assert (report.outcomes["sent"], report.outcomes["rejected"]) == (2, 1)
    assert total(crowd) == before


def test_another_identifier_is_a_resync_that_removes_nothing(
    kit: Kit, caplog: pytest.LogCaptureFixture
) -> None:
    old = Crowd(kit, "external_id")
    old.write_program()
    kit.push(kit.publish("1", old.lists()))
    new = Crowd(kit, "email")
    new.write_program()
    report = kit.push(kit.publish("2", new.lists()), dag_run="second")
    assert (report.outcomes["sent"], report.left_audience) == (6, 0)
    assert "names people by email now, and by external_id before" in caplog.text
    assert new.shown() == new.lists()
    state, _ = kit.context.store(LastSent).read()
    assert (state.identifier, state.former_identifiers) == ("email", ("external_id",))
    third = kit.push(kit.publish("3", new.lists()), dag_run="third")
    assert third.outcomes["unchanged"] == 6


def test_lists_from_before_another_identifier_are_not_delivered(kit: Kit) -> None:
    run = kit.publish("1", kit.lists(3))
    kit.write_program(identifier="email")
    with pytest.raises(FatalError, match="name people by external_id, and the program file by email"):
        kit.push(run)
    assert kit.in_braze() == {}


def test_dead_letters_of_another_identifier_are_not_replayed(kit: Kit) -> None:
    from recsync.push.replay import replay

    old = Crowd(kit, "external_id")
    old.write_program()
    fault = {"path": "/users/track", "kind": "reject", "error_type": "bad", "external_ids": [old.people[0]]}
    kit.servers.control("POST", "faults", json=fault)
    first = kit.push(kit.publish("1", old.lists()))
    new = Crowd(kit, "email")
    new.write_program()
    kit.push(kit.publish("2", new.lists()), dag_run="second")
    with pytest.raises(
        FatalError, match="names the person by external_id, and deliveries by email"
    ) as caught:
        replay(kit.name, first.delivery, dag_run="replay")
    assert old.people[0] not in str(caught.value)


def test_of_profiles_that_share_an_address_one_has_the_list_and_that_is_right(kit: Kit) -> None:
    from recsync.push.verify import verify

    crowd = Crowd(kit, "email", 2)
    crowd.write_program()
    twin = {"external_id": f"{kit.name}-twin", "email": crowd.people[0]}
    kit.servers.control("POST", "profiles", json=[twin])
    report = kit.push(kit.publish("1", crowd.lists()))
    assert report.outcomes["sent"] == 2
    assert verify(kit.name, report.delivery, dag_run="test")["drifted"] == 0


def test_a_retirement_removes_by_the_identifier_that_was_written(kit: Kit) -> None:
    from recsync.program.names import RETIRE_PREFIX
    from recsync.push.deliver import deliver
    from recsync.push.plan import plan

    old = Crowd(kit, "external_id", 3)
    old.write_program()
    kit.push(kit.publish("1", old.lists()))
    Crowd(kit, "email", 3).write_program()
    run = kit.publish(f"{RETIRE_PREFIX}2", {})
    planned = plan(kit.name, run, dag_run="retire", allow_removals=True)
    assert (planned.identifier, planned.figures.left_audience) == ("external_id", 3)
    assert deliver(kit.name, planned.delivery).left_audience == 3
    assert old.shown() == dict.fromkeys(old.people)
