"""Braze's refusals and failures: everybody is counted, nobody is lost, and a retry sends only what is missing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kit import Kit

from recsync.errors import FATAL, RETRIABLE, FatalError
from recsync.push.store import Deliveries, LastSent

PEOPLE = 300
TRACK = "/users/track"


def fault(kit: Kit, **fields: Any) -> None:
    kit.servers.control("POST", "faults", json={"path": TRACK, **fields})


def test_passing_failures_are_ridden_out(kit: Kit) -> None:
    for status in (429, 500, 503):
        fault(kit, status=status, times=1, headers={"X-Ratelimit-Retry-After": "0"})
    for kind in ("truncate", "reset", "html502"):
        fault(kit, kind=kind, times=1)
    report = kit.push(kit.publish("1", kit.lists(PEOPLE)))
    assert report.outcomes["sent"] == PEOPLE
    assert report.answers["429"] == report.answers["500"] == 1
    assert kit.in_braze() == kit.lists(PEOPLE)


def test_a_wrong_key_is_a_clear_error_that_never_shows_the_key(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    connection = {"conn_type": "braze", "host": kit.servers.braze, "password": "wrong-key-12345"}
    monkeypatch.setenv("AIRFLOW_CONN_BRAZE_DEFAULT", json.dumps(connection))
    with caplog.at_level("DEBUG"), pytest.raises(FATAL, match=r"HTTP 401.*Check the API key") as caught:
        kit.push(kit.publish("1", kit.lists(PEOPLE)))
    assert "wrong-key-12345" not in str(caught.value) + caplog.text
    assert kit.in_braze() == {}


def test_an_outage_loses_nobody_and_the_retry_goes_on_where_it_stopped(kit: Kit) -> None:
    kit.publish("1", kit.lists(PEOPLE))
    fault(kit, status=503, times=1000, skip=1)
    with pytest.raises(RETRIABLE, match="503"):
        kit.push("1")
    assert len(kit.in_braze()) == 75, "one batch was taken before the outage"
    kit.servers.control("DELETE", "faults")
    report = kit.push("1")
    assert report.outcomes["sent"] == PEOPLE, "the account is of the whole delivery, not of the last try"
    assert report.tries == 2
    assert report.resent <= PEOPLE - 75
    assert kit.in_braze() == kit.lists(PEOPLE)


def test_refused_people_are_counted_kept_and_tried_again(kit: Kit) -> None:
    # Braze refuses an external_id of more than 987 bytes.
    nobody = kit.name + "x" * 990
    people = {**kit.lists(PEOPLE), nobody: ["p-1", "p-2", "p-3", "p-4", "p-5"]}
    report = kit.push(kit.publish("1", people))
    assert (report.outcomes["sent"], report.outcomes["rejected"]) == (PEOPLE, 1)
    assert kit.in_braze() == kit.lists(PEOPLE)
    (letter,) = (kit.context.store(Deliveries).dead_letters(report.delivery) or b"").splitlines()
    document = json.loads(letter)
    assert document["outcome"] == "rejected"
    assert document["reason"] in report.reasons
    assert json.loads(document["object"])["external_id"] == nobody
    again = kit.push(kit.publish("2", people), dag_run="second")
    assert again.outcomes["rejected"] == 1, "refused again, not counted as sent"


def test_a_delivery_stops_when_too_many_are_refused(kit: Kit) -> None:
    bad = {f"{kit.name}-{n}-" + "x" * 990: ["p-1", "p-2", "p-3", "p-4", "p-5"] for n in range(200)}
    with pytest.raises(FatalError, match=r"max_rejected_share \(5%\).*most frequent reasons"):
        kit.push(kit.publish("1", {**kit.lists(100), **bad}))


def test_people_refused_before_do_not_stop_a_small_delivery(kit: Kit) -> None:
    bad = {f"{kit.name}-{n}-" + "x" * 990: ["p-1", "p-2", "p-3", "p-4", "p-5"] for n in range(14)}
    first = kit.push(kit.publish("1", {**kit.lists(PEOPLE), **bad}))
    assert first.outcomes["rejected"] == 14
    few = {**kit.lists(PEOPLE), **dict(list(kit.lists(5, shift=3).items()))}
    second = kit.push(kit.publish("2", {**few, **bad}), dag_run="second")
    assert (second.outcomes["sent"], second.outcomes["rejected"]) == (5, 14)


def test_older_recommendations_are_never_written_over_newer_ones(kit: Kit) -> None:
    from recsync.push.plan import SupersededError

    kit.publish("1", kit.lists(50))
    kit.push(kit.publish("2", kit.lists(50, shift=1)))
    with pytest.raises(SupersededError, match="older"):
        kit.push("1", dag_run="second")
    assert kit.in_braze() == kit.lists(50, shift=1)


def test_a_push_of_the_schedule_delivers_only_what_braze_was_not_told_of(kit: Kit) -> None:
    from recsync.push.deliver import deliver
    from recsync.push.plan import SupersededError, plan

    def scheduled(dag_run: str = "look", run_type: str = "scheduled") -> Any:
        return plan(kit.name, None, dag_run=dag_run, run_type=run_type)

    with pytest.raises(SupersededError, match="No recommendations were published"):
        scheduled()
    kit.publish("1", kit.lists(50))
    missed = scheduled()
    assert scheduled() == missed, "a retry goes on with its plan"
    assert deliver(kit.name, missed.delivery).outcomes["sent"] == 50
    kit.publish("push-2", kit.lists(50, shift=1))
    with pytest.raises(SupersededError, match="Nothing is newer than recommendations 1"):
        scheduled()
    assert scheduled("event", "asset_triggered").recommendations == "1"
    assert scheduled("person", "manual").recommendations == "push-2"


def test_a_newer_delivery_takes_over_one_that_was_given_up(kit: Kit) -> None:
    fault(kit, status=503, times=1000, skip=2)
    with pytest.raises(RETRIABLE):
        kit.push(kit.publish("1", kit.lists(PEOPLE)))
    kit.servers.control("DELETE", "faults")
    report = kit.push(kit.publish("2", kit.lists(PEOPLE)), dag_run="second")
    assert report.outcomes == {
        **dict.fromkeys(report.outcomes, 0),
        "sent": PEOPLE - 150,
        "unchanged": 150,
    }
    assert kit.in_braze() == kit.lists(PEOPLE)


def test_only_those_whose_calls_were_made_are_unknown_when_a_delivery_is_given_up(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    paced = kit.servers.environment(kit.include, connections=16, burst_requests=2, burst_seconds=2)
    for name, value in paced.items():
        monkeypatch.setenv(name, value)
    fault(kit, status=401, times=1000, skip=1)
    with pytest.raises(FATAL, match="401"):
        kit.push(kit.publish("1", kit.lists(1_200)))
    state, _ = kit.context.store(LastSent).read()
    ledger, _ = kit.context.store(Deliveries).read_ledger(state.open_delivery, 1_200)
    calls = sum(ledger.answers.values())
    assert ledger.answers["201"] == 1
    assert 75 <= ledger.under_way <= 75 * (calls - 1) < 16 * 75


def test_what_may_have_been_written_is_written_again_even_if_nothing_seems_to_have_changed(kit: Kit) -> None:
    old, new = kit.lists(PEOPLE), kit.lists(PEOPLE, shift=9)
    kit.push(kit.publish("1", old))
    # Braze applies everything and answers nothing; then the recommendations turn back.
    fault(kit, kind="truncate", times=1000, apply=True)
    with pytest.raises(RETRIABLE):
        kit.push(kit.publish("2", new), dag_run="second")
    assert kit.in_braze() == new
    kit.servers.control("DELETE", "faults")
    report = kit.push(kit.publish("3", old), dag_run="third")
    assert kit.in_braze() == old
    assert report.outcomes["sent"] == PEOPLE


def test_a_try_that_was_taken_over_stops(kit: Kit) -> None:
    from recsync.push.deliver import deliver
    from recsync.push.ledger import EntryKind, LedgerEntry
    from recsync.push.plan import plan
    from recsync.push.store import TakenOverError

    manifest = plan(kit.name, kit.publish("1", kit.lists(PEOPLE)), dag_run="test")
    deliveries = kit.context.store(Deliveries)
    _, number = deliveries.take_over(
        manifest.delivery, manifest.figures.total_rows, kind=EntryKind.TAKE_OVER, by="first", at="t"
    )
    assert deliver(kit.name, manifest.delivery).outcomes["sent"] == PEOPLE
    with pytest.raises(TakenOverError, match="took over"):
        deliveries.append(
            manifest.delivery, number, LedgerEntry(EntryKind.PROGRESS, "t", by="first", permitted=10)
        )


def test_a_finished_delivery_is_not_sent_again(kit: Kit) -> None:
    from recsync.push.deliver import deliver

    report = kit.push(kit.publish("1", kit.lists(50)))
    assert len(kit.in_braze()) == 50, "applied, so that the meter is complete"
    kit.reset_meter()
    assert deliver(kit.name, report.delivery) == report
    assert kit.servers.control("GET", "meter")["attributes"] == {}
