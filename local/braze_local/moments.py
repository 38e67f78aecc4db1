"""Read the times Braze takes. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def moment_of(text: Any) -> datetime:
    """Read an ISO 8601 time as UTC; without a zone it is UTC already.

    Raises TypeError or ValueError for anything else, and for years Braze does not keep as times
    (before 0 or after 3000; this reader starts at 1).
    """
    moment = datetime.fromisoformat(text)
    if not 1 < moment.year <= 3000:
        raise ValueError(f"year {moment.year} is out of range")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
