from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from recsync.costs.charges import Charge, Kind
from recsync.costs.ledger import Entry, Month, first_name

NOW = datetime(2026, 11, 22, 5, tzinfo=UTC)
AT = "2026-11-22T05:00:00+00:00"


def hours(quantity: float, name: str = "", note: str = "") -> Entry:
    return Entry(Kind.TRAINING_HOURS, quantity, AT, name=name, note=note)


def charge(what: str, quantity: float = 1, job: str = "") -> Charge:
    return Charge(Kind.TRAINING_HOURS, quantity, what, job)


def test_what_is_booked_twice_counts_once_and_never_shrinks() -> None:
    month = Month().booked("arn:1", hours(2)).booked("arn:1", hours(2)).booked("arn:2", hours(3))
    assert month.used() == {Kind.TRAINING_HOURS: 5}
    grown = month.booked("arn:1", hours(4)).booked("arn:1", hours(1))
    assert grown.used() == {Kind.TRAINING_HOURS: 7}
    complete = grown.booked("arn:3", hours(1, note="not complete")).booked("arn:3", hours(1))
    assert complete.entries["arn:3"].note == ""


def test_booking_takes_the_place_of_what_was_expected_under_the_name() -> None:
    month = Month().expecting("run", [charge("one", 5, "job-a"), charge("two", 7, "job-b")], NOW)
    assert month.used() == {Kind.TRAINING_HOURS: 12}
    booked = month.booked("arn:1", hours(1, "job-a-2"))
    assert booked.used() == {Kind.TRAINING_HOURS: 8}, "a later try of the job is the job"
    assert booked.knows("job-a")
    assert not booked.knows("job-b")
    assert not booked.knows("")


def test_a_run_that_asks_again_expects_each_thing_once() -> None:
    month = Month().expecting("run", [charge("one", 5)], NOW).expecting("other", [charge("one", 1)], NOW)
    assert month.expecting("run", [charge("one", 2)], NOW).used() == {Kind.TRAINING_HOURS: 3}
    assert month.without("run", [charge("one")]).used() == {Kind.TRAINING_HOURS: 1}
    named = Month().expecting("run", [charge("one", 5, "job")], NOW)
    assert named.without("another", [charge("else", job="job")]).used() == {}


def test_what_dead_runs_expected_stops_counting() -> None:
    month = Month({"arn:1": hours(1)}).expecting("run", [charge("one", 5)], NOW)
    assert month.without_stale(NOW + timedelta(hours=47)) == month
    assert month.without_stale(NOW + timedelta(hours=49)) == month.without_expected()
    assert month.without_expected().used() == {Kind.TRAINING_HOURS: 1}


def test_a_month_is_read_back_as_it_was_written() -> None:
    month = Month({"arn:1": Entry(Kind.TRAINED_INTERACTIONS, 10, AT, "n", "s", "r", "FULL", 10, "why")})
    month = month.expecting("run", [charge("one", 5, "job")], NOW)
    assert Month.from_json(json.loads(json.dumps(month.to_json()))) == month
    assert Month.from_json(None) == Month()


def test_a_use_of_nothing_is_read_back_too() -> None:
    month = Month().booked("delivery", Entry(Kind.DATA_POINTS, 0, AT))
    assert Month.from_json(json.loads(json.dumps(month.to_json()))) == month


def test_only_the_suffix_of_a_try_is_cut_off() -> None:
    names = ("shop-full-0123456789ab", "shop-full-0123456789ab-2", "shop-full-0123456789ab-99")
    assert {first_name(name) for name in names} == {"shop-full-0123456789ab"}
