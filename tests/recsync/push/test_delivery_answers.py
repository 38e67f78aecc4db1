"""What Braze answers and shows, and how everybody is counted by it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest
import requests
from kit import Kit

from recsync.push.store import Deliveries

PEOPLE = 150
TRACK = "/users/track"


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    from recsync.push import read_back

    monkeypatch.setattr(read_back, "WAITS_SECONDS", (0.3, 0.7))


@pytest.fixture
def silent(kit: Kit) -> Iterator[Kit]:
    """Let Braze say nothing of people whom it does not know."""
    kit.servers.control("PATCH", "settings", json={"missing_users": "ignore"})
    kit.write_program(update_existing_only=True)
    yield kit
    kit.servers.control("PATCH", "settings", json={"missing_users": "report"})


def make_profiles(kit: Kit, people: list[str]) -> None:
    headers = {"Authorization": f"Bearer {kit.servers.key}"}
    for first in range(0, len(people), 75):
        attributes = [{"external_id": who, "plan": "gold"} for who in people[first : first + 75]]
        answer = requests.post(
            f"{kit.servers.braze}{TRACK}", json={"attributes": attributes}, headers=headers, timeout=30
        )
        answer.raise_for_status()
    kit.servers.control("POST", "flush")


def outcomes(kit: Kit, delivery: str, folder: Any) -> dict[str, str]:
    kit.context.store(Deliveries).download_accounts(delivery, folder / "accounts.parquet")
    rows = pq.read_table(folder / "accounts.parquet").to_pylist()
    assert len(rows) == len({row["external_id"] for row in rows})
    return {row["external_id"]: row["outcome"] for row in rows}


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"kind": "reject", "entries": 2}, "rejected"),
        ({"kind": "minor_error"}, "sent"),
        ({"kind": "minor_error", "entries": 2, "apply": False}, "rejected"),
        ({"kind": "error_without_index"}, "rejected"),
        ({"kind": "error_without_index", "apply": True}, "sent"),
        ({"kind": "error_out_of_range"}, "rejected"),
        ({"kind": "fewer_processed"}, "rejected"),
        ({"kind": "fewer_processed", "apply": True}, "sent"),
    ],
    ids=str,
)
def test_each_person_is_counted_as_what_braze_did(
    kit: Kit, fault: dict[str, Any], outcome: str, tmp_path: Any
) -> None:
    lists = kit.lists(PEOPLE)
    bad = [list(lists)[3], list(lists)[80]]
    kit.servers.control("POST", "faults", json={"path": TRACK, "times": None, "external_ids": bad, **fault})
    report = kit.push(kit.publish("1", lists))
    assert report.outcomes == {
        **dict.fromkeys(report.outcomes, 0),
        "sent": PEOPLE - (2 if outcome == "rejected" else 0),
        "rejected": 2 if outcome == "rejected" else 0,
    }
    assert {who for who, what in outcomes(kit, report.delivery, tmp_path).items() if what != "sent"} == (
        set(bad) if outcome == "rejected" else set()
    )
    assert kit.in_braze() == {
        who: items for who, items in lists.items() if outcome == "sent" or who not in bad
    }
    assert sum(report.answers.values()) <= 10
    kit.servers.control("DELETE", "faults")
    again = kit.push("1", dag_run="second")
    assert again.outcomes["sent"] == (2 if outcome == "rejected" else 0)
    assert kit.in_braze() == lists


def test_a_2xx_of_any_shape_is_decided_by_what_braze_shows(kit: Kit) -> None:
    bodies = ("", "OK", "<html>hello</html>", "[]", {"status": "ok"}, {"message": "accepted"})
    usual = {"path": TRACK, "kind": "status", "status": 201, "apply": True, "times": 1}
    faults = [{**usual, "name": f"shape {number}", "body": body} for number, body in enumerate(bodies)]
    kit.servers.control("DELETE", "faults/fired")
    kit.servers.control("POST", "faults", json=faults)
    people = 75 * len(bodies)  # a call for each
    report = kit.push(kit.publish("1", kit.lists(people)))
    assert report.outcomes["sent"] == people
    fired = kit.servers.control("GET", "faults/fired")["fired"]
    assert {name: counts["calls"] for name, counts in fired.items()} == {f["name"]: 1 for f in faults}
    assert kit.servers.control("GET", "writes", params={"min": 2})["by_user"] == {}, "nobody twice"


def test_people_unknown_to_a_silent_braze_are_rejected_and_block_nothing(silent: Kit, tmp_path: Any) -> None:
    from recsync.push.verify import verify

    silent.write_program(update_existing_only=True, delivery={"canary_share": 0.1})
    lists = silent.lists(PEOPLE)
    unknown = list(lists)[: PEOPLE // 3]
    make_profiles(silent, list(lists)[PEOPLE // 3 :])
    report = silent.push(silent.publish("1", lists))
    assert (report.outcomes["sent"], report.outcomes["rejected"]) == (100, 50)
    assert report.data_points == 100
    assert any("unknown to Braze" in reason for reason in report.reasons)
    counted = outcomes(silent, report.delivery, tmp_path)
    assert {who for who, what in counted.items() if what == "rejected"} == set(unknown)
    found = verify(silent.name, report.delivery, dag_run="test")
    assert (found["drifted"], found["still_drifted"]) == (0, 0)
    assert set(silent.in_braze()) == set(lists) - set(unknown)
    # Half of them come into being; the others are tried, and counted, again.
    make_profiles(silent, unknown[:25])
    second = silent.push(silent.publish("2", lists), dag_run="second")
    assert (second.outcomes["sent"], second.outcomes["rejected"], second.outcomes["unchanged"]) == (
        25,
        25,
        100,
    )


def test_somebody_deleted_in_a_silent_braze_is_no_drift_for_ever(silent: Kit) -> None:
    from recsync.push.verify import verify

    lists = silent.lists(40)
    make_profiles(silent, list(lists))
    first = silent.push(silent.publish("1", lists))
    headers = {"Authorization": f"Bearer {silent.servers.key}"}
    requests.post(
        f"{silent.servers.braze}/users/delete",
        json={"external_ids": list(lists)[:3]},
        headers=headers,
        timeout=30,
    ).raise_for_status()
    silent.servers.control("POST", "flush")
    found = verify(silent.name, first.delivery, dag_run="test")
    assert (found["drifted"], found["still_drifted"]) == (3, 0)
    second = silent.push(silent.publish("2", silent.lists(40, shift=1)), dag_run="second")
    assert (second.outcomes["sent"], second.outcomes["rejected"]) == (37, 3)


def test_a_first_delivery_to_nobody_whom_braze_knows_stops_at_the_canary(silent: Kit) -> None:
    from recsync.errors import FatalError

    silent.write_program(update_existing_only=True, delivery={"canary_share": 0.1})
    with pytest.raises(FatalError, match=r"none of the 15 people.*external_id"):
        silent.push(silent.publish("1", silent.lists(PEOPLE)))
