from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from recsync.costs.ledger import CostLedger, Month, UsageEntry, first_name
from recsync.costs.prices import Charge, UsageKind
from recsync.errors import FatalError
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

NOW = datetime(2026, 11, 22, 5, tzinfo=UTC)
AT = "2026-11-22T05:00:00+00:00"
POINT = UsageEntry(UsageKind.DATA_POINTS, 1, AT)


def hours(quantity: float, name: str = "", note: str = "") -> UsageEntry:
    return UsageEntry(UsageKind.TRAINING_HOURS, quantity, AT, name=name, note=note)


def charge(what: str, quantity: float = 1, job: str = "") -> Charge:
    return Charge(UsageKind.TRAINING_HOURS, quantity, what, job)


def test_usage_recorded_twice_counts_once_and_never_shrinks() -> None:
    month = Month().with_usage("arn:1", hours(2)).with_usage("arn:1", hours(2)).with_usage("arn:2", hours(3))
    assert month.used() == {UsageKind.TRAINING_HOURS: 5}
    grown = month.with_usage("arn:1", hours(4)).with_usage("arn:1", hours(1))
    assert grown.used() == {UsageKind.TRAINING_HOURS: 7}
    complete = grown.with_usage("arn:3", hours(1, note="not complete")).with_usage("arn:3", hours(1))
    assert complete.entries["arn:3"].note == ""


def test_recorded_usage_replaces_the_estimate_of_the_same_name() -> None:
    month = Month().with_estimate("run", [charge("one", 5, "job-a"), charge("two", 7, "job-b")], NOW)
    assert month.used() == {UsageKind.TRAINING_HOURS: 12}
    recorded = month.with_usage("arn:1", hours(1, "job-a-2"))
    assert recorded.used() == {UsageKind.TRAINING_HOURS: 8}, "a later try of the job is the job"
    assert recorded.has_recorded("job-a")
    assert not recorded.has_recorded("job-b")
    assert not recorded.has_recorded("")


def test_a_second_estimate_of_a_run_replaces_the_first() -> None:
    month = (
        Month().with_estimate("run", [charge("one", 5)], NOW).with_estimate("other", [charge("one", 1)], NOW)
    )
    assert month.with_estimate("run", [charge("one", 2)], NOW).used() == {UsageKind.TRAINING_HOURS: 3}
    assert month.without_estimate("run", [charge("one")]).used() == {UsageKind.TRAINING_HOURS: 1}
    named = Month().with_estimate("run", [charge("one", 5, "job")], NOW)
    assert named.without_estimate("another", [charge("else", job="job")]).used() == {}


def test_estimates_of_killed_runs_stop_counting() -> None:
    month = Month({"arn:1": hours(1)}).with_estimate("run", [charge("one", 5)], NOW)
    assert month.without_stale_estimates(NOW + timedelta(hours=47)) == month
    assert month.without_stale_estimates(NOW + timedelta(hours=49)) == month.recorded()
    assert month.recorded().used() == {UsageKind.TRAINING_HOURS: 1}


def test_a_month_is_read_back_as_it_was_written() -> None:
    month = Month(
        {"arn:1": UsageEntry(UsageKind.TRAINED_INTERACTIONS, 10, AT, "n", "s", "r", "FULL", 10, "why")}
    )
    month = month.with_estimate("run", [charge("one", 5, "job")], NOW)
    assert Month.from_json(json.loads(json.dumps(month.to_json()))) == month
    assert Month.from_json(None) == Month()


def test_a_use_of_nothing_is_read_back_too() -> None:
    month = Month().with_usage("delivery", UsageEntry(UsageKind.DATA_POINTS, 0, AT))
    assert Month.from_json(json.loads(json.dumps(month.to_json()))) == month


def test_only_the_suffix_of_a_try_is_cut_off() -> None:
    names = ("shop-full-0123456789ab", "shop-full-0123456789ab-2", "shop-full-0123456789ab-99")
    assert {first_name(name) for name in names} == {"shop-full-0123456789ab"}


def test_usage_that_another_run_records_meanwhile_is_kept(bucket: Bucket, keys: Keys) -> None:
    store = CostLedger(bucket, keys)
    others = [f"theirs-{number}" for number in range(3)]

    def record(month: Month) -> Month:
        if others:  # the first three looks are overtaken
            name = others.pop()
            store.change("2026-11", lambda now: now.with_usage(name, POINT))
        return month.with_usage("ours", POINT)

    store.change("2026-11", record)
    assert store.read("2026-11").used() == {UsageKind.DATA_POINTS: 4}
    assert store.read("2026-10").used() == {}
    assert store.months() == ["2026-11"]


def test_a_change_that_changes_nothing_writes_nothing(bucket: Bucket, keys: Keys) -> None:
    CostLedger(bucket, keys).change("2026-11", lambda month: month)
    assert CostLedger(bucket, keys).months() == []


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"entries": {"a": {"kind": "gold", "quantity": 1}}}'])
def test_a_broken_ledger_is_named(bucket: Bucket, keys: Keys, body: bytes) -> None:
    bucket.put(keys.money("2026-11"), body)
    with pytest.raises(FatalError, match=r"state/money/2026-11\.json is damaged"):
        CostLedger(bucket, keys).read("2026-11")
