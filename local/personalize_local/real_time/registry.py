"""Know every operation of the real-time services, by service and name."""

from __future__ import annotations

from personalize_local.real_time import events, recommendations
from personalize_local.real_time.context import Operation

OPERATIONS: dict[str, dict[str, Operation]] = {
    "personalize-runtime": recommendations.OPERATIONS,
    "personalize-events": events.OPERATIONS,
}
