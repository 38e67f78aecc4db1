"""Wait in the triggerer before a full quota is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent


class PersonalizeQuotaTrigger(BaseTrigger):
    """Yield one event, ``{"since": …}``, at a moment.

    The event holds what the task needs, because ``defer(kwargs=…)`` is lost in ``dag.test()``.

    :param since: ISO 8601: when the quota was found full for the first time.
    :param moment: ISO 8601: when to try again.
    """

    def __init__(self, *, since: str, moment: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
        self.since = since
        self.moment = moment

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what a restarted triggerer needs to go on."""
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        return name, {"since": self.since, "moment": self.moment}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep until the moment."""
        left = datetime.fromisoformat(self.moment) - datetime.now(UTC)
        await asyncio.sleep(max(left.total_seconds(), 0))
        yield TriggerEvent({"since": self.since})  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
