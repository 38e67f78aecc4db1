"""The trigger that waits for a full quota."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from operator_runs import first_event, rebuilt

from airflow_personalize.triggers.personalize import PersonalizeQuotaTrigger


def test_the_wait_for_a_full_quota_ends_at_its_moment_and_says_since_when_it_is_full() -> None:
    moments = [datetime.now(UTC) + timedelta(seconds=seconds) for seconds in (-3600, 0.2)]
    for moment in moments:
        trigger = rebuilt(
            PersonalizeQuotaTrigger(since="2026-01-01T00:00:00+00:00", moment=moment.isoformat())
        )
        assert asyncio.run(first_event(trigger)) == {"since": "2026-01-01T00:00:00+00:00"}
    assert datetime.now(UTC) >= moments[-1]
