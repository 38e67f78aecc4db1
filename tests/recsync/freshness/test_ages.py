"""The ages of the lists in Braze, and what people are told."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import kit as kit_module
import pytest
from kit import Kit

from recsync.errors import FatalError
from recsync.freshness.ages import check, was_told

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of a run ends with how many days ago it was made."""
    monkeypatch.setattr(kit_module, "time_of", lambda run: (NOW - int(run[3:]) * DAY).isoformat())


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name.startswith("recsync.alerts")]


def test_people_are_told_before_lists_are_too_old_and_once_more_after_the_limit_changed(
    kit: Kit, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    kit.write_program(recommendations={"max_age_days": 14})
    nothing = {"people": 0, "ageing": 0, "too_old": 0, "unknown": 0, "newest": ""}
    # Without a push there is nothing that could be old.
    assert check(kit.name, NOW + 400 * DAY) == nothing
    kit.publish("01-0", kit.lists(12))
    kit.push()
    newest = NOW.isoformat()
    fresh = {**nothing, "people": 12, "newest": newest}
    assert check(kit.name, NOW + 6 * DAY) == fresh
    assert told(caplog) == []
    assert check(kit.name, NOW + 8 * DAY) == {**fresh, "ageing": 12}
    assert len(told(caplog)) == 1
    assert "no newer lists for 8 days" in told(caplog)[0]
    assert not was_told(kit.context, newest, NOW + 8.5 * DAY)
    assert check(kit.name, NOW + 15 * DAY) == {**fresh, "too_old": 12}
    assert was_told(kit.context, newest, NOW + 9 * DAY)
    assert not was_told(kit.context, "another push", NOW + 9 * DAY)
    kit.write_program(recommendations={"max_age_days": 10})
    assert not was_told(kit.context, newest, NOW + 9 * DAY)


def test_people_with_old_lists_beside_new_ones_are_told_of_and_are_no_notice(
    kit: Kit, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    kit.write_program(recommendations={"max_age_days": 14})
    lists = kit.lists(20)
    kit.publish("02-12", lists)
    kit.push()
    kit.publish("03-0", lists, unanswered=dict.fromkeys(list(lists)[:11], "no line"))
    kit.push()
    ages = check(kit.name, NOW + DAY)
    assert (ages["people"], ages["ageing"], ages["too_old"], ages["unknown"]) == (20, 11, 0, 0)
    assert "11 people have old lists" in told(caplog)[0]
    assert not was_told(kit.context, NOW.isoformat(), NOW + 2 * DAY)


def test_a_program_without_a_limit_is_not_measured(kit: Kit) -> None:
    with pytest.raises(FatalError, match=r"has no recommendations\.max_age_days"):
        check(kit.name, NOW)
