"""What Braze took and lost is found and written again."""

from __future__ import annotations

import pytest
from kit import Kit

PEOPLE = 120


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
