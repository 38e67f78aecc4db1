from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsync.program import NAME_PATTERN, DatasetType
from recsync.program.intervals import EPOCH, Interval, floor_tick, last_interval, parse_key
from recsync.program.names import MAX_LENGTH, job_name, run_key
from recsync.storage.keys import Keys

FIVE = datetime(2026, 11, 22, 5, tzinfo=UTC)


def test_a_zero_length_interval_is_an_error_that_names_the_cause() -> None:
    with pytest.raises(ValueError, match="CronDataIntervalTimetable"):
        Interval(FIVE, FIVE)


def test_keys_read_back_and_sort_by_time() -> None:
    hours = [Interval(FIVE + timedelta(hours=h), FIVE + timedelta(hours=h + 1)) for h in range(30)]
    assert [parse_key(interval.key) for interval in hours] == [interval.start for interval in hours]
    assert sorted(i.key for i in hours) == [i.key for i in hours]


def test_another_time_zone_names_the_same_interval() -> None:
    east = timezone(timedelta(hours=2))
    assert (
        Interval(FIVE.astimezone(east), FIVE.astimezone(east) + timedelta(hours=1)).key == "2026-11-22T0500Z"
    )


def test_the_last_interval_is_over_and_a_boundary_is_its_own_floor() -> None:
    assert last_interval(FIVE + timedelta(minutes=59), None) == Interval(FIVE - timedelta(hours=1), FIVE)
    assert last_interval(FIVE, "0 * * * *") == Interval(FIVE - timedelta(hours=1), FIVE)
    assert floor_tick(FIVE, None) == FIVE
    day = datetime(2026, 11, 22, 2, tzinfo=UTC)
    assert last_interval(FIVE, "0 2 * * *") == Interval(day - timedelta(days=1), day)
    assert Interval.until(FIVE).start == EPOCH


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
    st.sampled_from(["0 * * * *", "0 2 * * *", "*/15 * * * *"]),
)
def test_a_full_snapshot_and_the_intervals_after_it_meet(moment: datetime, cron: str) -> None:
    end = floor_tick(moment.replace(tzinfo=UTC), cron)
    assert end <= moment.replace(tzinfo=UTC)
    assert last_interval(moment.replace(tzinfo=UTC), cron).end == end
    assert floor_tick(end, cron) == end


@given(st.from_regex(NAME_PATTERN, fullmatch=True), st.text(max_size=300))
def test_job_names_fit_the_service_and_leave_room_for_a_suffix(program: str, run_id: str) -> None:
    name = job_name(program, "full-interactions", run_id)
    assert len(name) <= MAX_LENGTH - 3
    assert name == job_name(program, "full-interactions", run_id)
    assert name != job_name(program, "full-interactions", run_id + "x")


def test_names_of_long_programs_still_differ_by_dataset() -> None:
    program = "p" * 32
    assert job_name(program, "full-users", "r") != job_name(program, "full-items", "r")


def test_run_keys_sort_by_creation() -> None:
    early = run_key("manual__b", "2026-11-22T05:00:01.000499+00:00")
    late = run_key("manual__a", "2026-11-22T05:00:01.5+00:00")
    assert early.startswith("20261122T050001000499-")
    assert run_key("manual__c", "2026-11-22T05:00:01Z").startswith("20261122T050001-")
    assert early < late


def test_folders_that_personalize_reads_hold_no_folders() -> None:
    keys = Keys("shop")
    export = keys.export(DatasetType.INTERACTIONS, "2026-11-22T0500Z")
    assert export == "shop/exports/interactions/2026-11-22T0500Z.csv"
    assert not keys.export_manifest("x").startswith("shop/exports/interactions/")
    assert keys.batch_output("r").endswith("/")
    assert not keys.batch_input("r").startswith(keys.batch_output("r"))
