"""Export reports as the checks write them: a full one, an empty one, and one whose values attack the page."""

from __future__ import annotations

import math
import random
from typing import Any

START = 1_763_164_800  # 2025-11-15 00:00 UTC
HOUR, DAY, WEEK = 3600, 86_400, 7 * 86_400


def volume(buckets: int, seconds: int = HOUR, start: int = START, seed: int = 1) -> dict[str, Any]:
    """Rows by day and night, with hours in which nothing happened."""
    chance = random.Random(seed)
    counts = [
        int(2_000 * (1.1 + math.sin((hour % 24 - 9) / 24 * math.tau)) * chance.uniform(0.7, 1.3))
        for hour in range(buckets)
    ]
    kept = [(i, n) for i, n in enumerate(counts) if buckets < 50 or i % 97 not in {40, 41, 42}]
    return {
        "bucket_seconds": seconds,
        "buckets": [{"start": start + i * seconds, "rows": n} for i, n in kept],
    }


def interactions(buckets: int = 336, seconds: int = HOUR) -> dict[str, Any]:
    """A fortnight of a grocer's purchases, with warnings."""
    plot = volume(buckets, seconds)
    exported = sum(bucket["rows"] for bucket in plot["buckets"])
    return {
        "program": "grocery",
        "dataset": "INTERACTIONS",
        "sql": "grocery/interactions.sql",
        "start": "2025-11-15T00:00:00+00:00",
        "end": "2025-11-29T00:00:00+00:00",
        "full": False,
        "rows": exported + 1_204,
        "exported": exported,
        "quarantined": 1_204,
        "verdict": "warned",
        "findings": [
            {
                "rule": "unknown_items",
                "level": "warn",
                "column": "ITEM_ID",
                "rows": 812,
                "share": 0.00122,
                "example": "9527290",
                "text": "Items that no items export holds. Amazon Personalize takes them, without their metadata; "
                "export the items again, or let items.sql return discontinued ones too.",
            },
            {
                "rule": "categorical_cardinality",
                "level": "note",
                "column": "DEPARTMENT",
                "rows": 0,
                "share": None,
                "example": None,
                "text": "31 of at most 1,000 categories.",
            },
            {
                "rule": "timestamp_unit",
                "level": "warn",
                "column": "TIMESTAMP",
                "rows": 392,
                "share": 0.0000059,
                "example": "1763800000000",
                "text": "Milliseconds, where Amazon Personalize reads seconds; these rows are quarantined. "
                "Divide the column by 1,000 in the query.",
            },
        ],
        "columns": [
            column("USER_ID", "string", 0, 2_469, "1", "998"),
            column("ITEM_ID", "string", 0, 38_211, "1000050", "9999999"),
            column("EVENT_TYPE", "string", 0, 3, "coupon", "view"),
            column("EVENT_VALUE", "float", 120, None, "0.25", "499.0"),
            column("TIMESTAMP", "long", 0, None, str(START), str(START + buckets * seconds - 1)),
        ],
        "volume": plot,
        "event_types": [
            {"event_type": "purchase", "rows": 512_011},
            {"event_type": "view", "rows": 120_404},
            {"event_type": "coupon", "rows": 1_820},
            {"event_type": "(others)", "rows": 3},
        ],
        "history": [
            {"from": 1, "to": 1, "users": 140},
            {"from": 2, "to": 2, "users": 98},
            {"from": 3, "to": 5, "users": 301},
            {"from": 6, "to": 10, "users": 640},
            {"from": 11, "to": 25, "users": 911},
            {"from": 26, "to": None, "users": 379},
        ],
        "figures": {
            "users": 2_469,
            "items": 38_211,
            "users_with_two_interactions": 2_329,
            "oldest": START,
            "newest": START + buckets * seconds - 1,
            "new_items_share": 0.0131,
        },
        "drift": [
            drift("volume", exported, 601_204.5, "note", "As usual."),
            drift(
                "event_mix", 0.21, 0.03, "warn", "Views are 19% of rows, usually 2%: look at the tracking."
            ),
            drift("freshness", 310, 290.0, "note", "As usual."),
            drift("new_items", 0.0131, 0.0127, "note", "As usual."),
        ],
        "quarantine": "grocery/exports/quarantine/interactions/2025-11-15T0000Z.jsonl",
    }


def stopped() -> dict[str, Any]:
    """An hour whose query returns milliseconds only."""
    report = interactions(1)
    finding = report["findings"][2] | {"level": "stop", "rows": 1_204, "share": 1.0}
    return report | {
        "verdict": "stopped",
        "rows": 1_204,
        "exported": 0,
        "findings": [*report["findings"][:2], finding],
        "volume": {"bucket_seconds": HOUR, "buckets": []},
        "event_types": [],
        "history": [],
        "drift": [],
    }


def users() -> dict[str, Any]:
    """A dataset without times."""
    return {
        "program": "grocery",
        "dataset": "USERS",
        "sql": "grocery/users.sql",
        "start": "1970-01-01T00:00:00+00:00",
        "end": "2025-11-29T00:00:00+00:00",
        "full": True,
        "rows": 2_469,
        "exported": 2_469,
        "quarantined": 0,
        "verdict": "passed",
        "findings": [],
        "columns": [
            column("USER_ID", "string", 0, 2_469, "1", "998"),
            column("AGE", "string", 1_668, 6, "19-24", "65+"),
        ],
        "volume": {"bucket_seconds": HOUR, "buckets": []},
        "event_types": [],
        "history": [],
        "figures": {"users": 2_469, "items": None, "oldest": None, "newest": None, "new_items_share": None},
        "drift": [],
        "quarantine": None,
    }


def hostile(attack: str) -> dict[str, Any]:
    """Every text of a report is the attack."""

    def poisoned(content: Any) -> Any:
        if isinstance(content, dict):
            return {name: poisoned(part) for name, part in content.items()}
        if isinstance(content, list):
            return [poisoned(part) for part in content]
        return attack if isinstance(content, str) else content

    report: dict[str, Any] = poisoned(interactions(3))
    return report


def column(
    name: str, kind: str, nulls: int, distinct: int | None, smallest: str, largest: str
) -> dict[str, Any]:
    return {
        "name": name,
        "type": kind,
        "nulls": nulls,
        "distinct": distinct,
        "smallest": smallest,
        "largest": largest,
    }


def drift(figure: str, now: float, usual: float, level: str, text: str) -> dict[str, Any]:
    return {"figure": figure, "now": now, "usual": usual, "runs": 7, "level": level, "text": text}
