"""The removal of old lists against the Braze sandbox: who loses a list, who is counted how, and what is billed.

People of every identifier: tests/recsync/explain/test_explain.py.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import kit as kit_module
import pyarrow.parquet as pq
import pytest
import requests
from kit import Kit

from recsync.errors import FatalError
from recsync.freshness.ages import check
from recsync.freshness.removal import plan_removal
from recsync.push import read_back
from recsync.push.deliver import deliver
from recsync.push.plan import RemovalBrakeError, SupersededError, plan
from recsync.push.store import Deliveries, LastSent

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
DATED = {"attributes": [{"name": "recs_at", "from": "generated_at"}], "status_catalog": "recsync_status"}


@pytest.fixture(autouse=True)
def _made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of a run ends with how many days ago it was made; the local Braze applies a write after 0.2 s."""
    monkeypatch.setattr(kit_module, "time_of", lambda run: (NOW - int(run[3:]) * DAY).isoformat())
    monkeypatch.setattr(read_back, "WAITS_SECONDS", (0.4, 1.0, 2.0, 3.0))


def points(kit: Kit) -> int:
    kit.servers.control("POST", "flush")
    return sum(kit.servers.control("GET", "meter")["data_points"]["attributes"].values())


def remove(kit: Kit, now: datetime, *, dag_run: str = "removal", **asked: bool) -> Any:
    manifest = plan_removal(kit.name, dag_run=dag_run, run="r", now=now, **asked)
    return manifest and (manifest, deliver(kit.name, manifest.delivery))


def status(kit: Kit) -> dict[str, Any]:
    url = f"{kit.servers.braze}/catalogs/recsync_status/items/{kit.name}"
    answer = requests.get(url, headers={"Authorization": f"Bearer {kit.servers.key}"}, timeout=30).json()
    return dict(answer["items"][0])


def test_lists_that_newer_ones_do_not_confirm_are_removed_and_billed_as_planned(kit: Kit) -> None:
    kit.write_program(recommendations={"max_age_days": 14}, **DATED)
    lists = kit.lists(30)
    kit.publish("01-13", lists)
    kit.push()
    people = list(lists)
    kit.publish("02-0", lists, unanswered=dict.fromkeys(people[:3], "no line"))
    kit.reset_meter()
    report = kit.push()
    # Their lists are the same, and their date is older than a week: it is written alone.
    assert (report.outcomes["sent"], report.outcomes["kept"]) == (27, 3)
    planned = kit.context.store(Deliveries).plan(report.delivery).figures
    assert (planned.refreshed, planned.data_points) == (27, 27)
    assert points(kit) == report.data_points == 27
    assert set(kit.in_braze("recs_at").values()) == {
        f"{NOW - 13 * DAY:%Y-%m-%dT%H:%M:%SZ}", f"{NOW:%Y-%m-%dT%H:%M:%SZ}"
    }  # fmt: skip
    assert int(status(kit)["fresh_until"]) == int((NOW + 14 * DAY).timestamp())

    kit.reset_meter()
    assert remove(kit, NOW + 0.9 * DAY) is None
    manifest, report = remove(kit, NOW + 1.1 * DAY)
    assert report.outcomes == {**dict.fromkeys(report.outcomes, 0), "removed": 3, "unchanged": 27}
    assert report.audience == 30
    assert points(kit) == report.data_points == manifest.figures.data_points == 6
    assert kit.in_braze().keys() == kit.in_braze("recs_at").keys() == set(people[3:])
    # No list is too old any more, and a push may give them a new one.
    assert remove(kit, NOW + 1.1 * DAY) is None
    kit.publish("03-0", lists)
    assert kit.push().outcomes["sent"] == 3


def test_all_lists_of_a_program_without_pushes_go_after_a_notice(kit: Kit) -> None:
    kit.write_program(recommendations={"max_age_days": 2, "keep_days": 1})
    kit.publish("04-0", kit.lists(20))
    kit.push()
    late = NOW + 2.1 * DAY
    with pytest.raises(RemovalBrakeError, match="Nobody was told a day before"):
        remove(kit, late)
    dry = plan_removal(kit.name, dag_run="dry", run="r", now=late, dry_run=True)
    assert dry is not None
    assert dry.brake
    assert dry.figures.losing == 20
    check(kit.name, late)
    with pytest.raises(RemovalBrakeError):
        remove(kit, late)
    kit.reset_meter()
    manifest, report = remove(kit, late + DAY)
    assert report.outcomes["removed"] == 20
    assert points(kit) == manifest.estimate.data_points == 20
    assert kit.in_braze() == {}


def test_a_removal_that_was_killed_goes_on_and_one_that_a_push_replaces_harms_nobody(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit.write_program(recommendations={"max_age_days": 2, "keep_days": 1}, delivery={"max_users_per_run": 6})
    kit.publish("05-1", kit.lists(6))
    kit.push()
    late = NOW + 1.5 * DAY
    first = plan_removal(kit.name, dag_run="removal", run="r", now=late, allow_removals=True)
    assert first is not None
    # The next try of the same run adopts its plan; another run closes it.
    assert plan_removal(kit.name, dag_run="removal", run="r", now=late) == first
    kit.publish("06-0", kit.lists(6, shift=1))
    report = kit.push()
    assert report.outcomes["sent"] == 6
    with pytest.raises(FatalError, match="closed in favour of"):
        deliver(kit.name, first.delivery)
    assert len(kit.in_braze()) == 6
    # Over a cap, the next run removes the rest.
    kit.write_program(recommendations={"max_age_days": 2, "keep_days": 1}, delivery={"max_users_per_run": 4})
    manifest, report = remove(kit, NOW + 2.5 * DAY, dag_run="another", allow_removals=True)
    assert manifest.figures.deferred == 2
    assert (report.audience, report.outcomes["removed"], report.outcomes["deferred"]) == (6, 4, 2)


def test_old_recommendations_are_not_pushed(kit: Kit) -> None:
    kit.write_program(recommendations={"max_age_days": 14})
    kit.publish("08-15", kit.lists(2))
    with pytest.raises(
        FatalError, match=r"were generated 15 days ago, and recommendations\.max_age_days \(14\)"
    ):
        plan(kit.name, None, dag_run="asset")
    with pytest.raises(SupersededError, match="generated 15 days ago"):
        plan(kit.name, None, dag_run="tick", run_type="scheduled")
    assert kit.context.store(LastSent).read()[0].newest.run == ""


def test_a_list_whose_age_no_state_tells_stays(kit: Kit) -> None:
    kit.write_program(recommendations={"max_age_days": 14})
    kit.publish("09-0", kit.lists(2))
    kit.push()
    last_sent = kit.context.store(LastSent)
    state, etag = last_sent.read()
    former = last_sent.download(state, kit.include / "state.parquet")
    assert former is not None
    pq.write_table(pq.read_table(former).drop_columns(["confirmed_at"]), former)
    last_sent.replace(last_sent.upload(state, former, "x"), etag)
    assert check(kit.name, NOW + 100 * DAY)["unknown"] == 2
    assert remove(kit, NOW + 100 * DAY, allow_removals=True) is None
    kit.publish("10-0", kit.lists(2))
    kit.push()
    assert check(kit.name, NOW)["unknown"] == 0
