"""The shop that the tests of filters look at: 50 items, 60 users, seven types of event; known by its rows."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

COMMON = {"type": "record", "namespace": "com.amazonaws.personalize.schema", "version": "1.0"}


def record(name: str, *fields: dict[str, Any]) -> dict[str, Any]:
    return {**COMMON, "name": name, "fields": list(fields)}


def column(name: str, kind: str = "string", **options: bool) -> dict[str, Any]:
    return {"name": name, "type": ["null", kind], **options}


ITEM_ID, USER_ID = {"name": "ITEM_ID", "type": "string"}, {"name": "USER_ID", "type": "string"}
TIMESTAMP, EVENT_TYPE = {"name": "TIMESTAMP", "type": "long"}, {"name": "EVENT_TYPE", "type": "string"}
ACTION_ID = {"name": "ACTION_ID", "type": "string"}
INTERACTIONS = record("Interactions", USER_ID, ITEM_ID, EVENT_TYPE, column("EVENT_VALUE", "float"), TIMESTAMP)
ITEMS = record(
    "Items",
    ITEM_ID,
    column("CATEGORY", categorical=True),
    column("CATEGORY_L1"),
    column("GENRE", categorical=True),
    column("STYLE"),
    column("DESCRIPTION", textual=True),
    column("PRICE", "float"),
    column("YEAR", "int"),
    column("IS_ADULT", "boolean"),
    column("CREATION_TIMESTAMP", "long"),
)
USERS = record(
    "Users", USER_ID, column("AGE", "int"), column("MEMBERSHIP_STATUS"), column("COUNTRY", categorical=True)
)
ACTIONS = record(
    "Actions",
    ACTION_ID,
    column("VALUE", "long"),
    column("KIND"),
    column("EXPIRATION_TIMESTAMP", "long"),
    column("REPEAT_FREQUENCY", "long"),
)
ACTION_INTERACTIONS = record("ActionInteractions", USER_ID, ACTION_ID, EVENT_TYPE, TIMESTAMP)

EVENTS = ("Purchase", "click", "stream", "favorite")
# Some users did these once, with the item of their number: user u0, then every so many.
RARE_EVENTS = {"unsubscribe": 7, "watched": 2, "favorited": 4}
ITEM_IDS = frozenset(f"i{n}" for n in range(50))


def _item(n: int) -> dict[str, Any]:
    return {
        "ITEM_ID": f"i{n}",
        "CATEGORY": None if n % 7 == 0 else "shoe|sale" if n % 2 == 0 else "watch",
        "CATEGORY_L1": ("cold dispensed", "hot dispensed", "sauces")[n % 3],
        "GENRE": None if n == 8 else "drama|war" if n % 2 == 0 else "comedy",
        "STYLE": ("boot", "sandal", None)[n % 3],
        "DESCRIPTION": "text",
        "PRICE": None if n == 9 else float(n),
        "YEAR": 1960 + n,
        "IS_ADULT": False,
        "CREATION_TIMESTAMP": 1_640_995_180 + n,
    }


def _user(n: int) -> dict[str, Any]:
    club = None if n % 5 == 0 else "gold" if n % 2 else "silver"
    country = ("England", "Japan", "France|Japan", "Peru")[n % 4]
    return {"USER_ID": f"u{n}", "AGE": None if n == 3 else n, "MEMBERSHIP_STATUS": club, "COUNTRY": country}


def _interactions() -> list[dict[str, Any]]:
    rows = []
    for user, step in itertools.product(range(60), range(20)):
        item = (user % 2) + 2 * ((user + step * 3) % 25)
        rows.append(
            {
                "USER_ID": f"u{user}",
                "ITEM_ID": f"i{item}",
                "EVENT_TYPE": EVENTS[step % 4],
                "EVENT_VALUE": None,
                "TIMESTAMP": 1_700_000_000 + user * 1000 + step,
            }
        )
    return rows + [
        {**rows[user * 20], "EVENT_TYPE": event, "ITEM_ID": f"i{user}", "TIMESTAMP": 1_700_100_000 + user}
        for event, every in RARE_EVENTS.items()
        for user in range(0, 50, every)
    ]


@dataclass(frozen=True)
class ShopRows:
    """Hold the rows; item i49 has none of its own."""

    items: list[dict[str, Any]] = field(default_factory=lambda: [_item(n) for n in range(49)])
    users: list[dict[str, Any]] = field(default_factory=lambda: [_user(n) for n in range(60)])
    interactions: list[dict[str, Any]] = field(default_factory=_interactions)

    def done(self, user: str, *events: str) -> set[str]:
        """Return the items of a user's events; all events when none is named."""
        return {
            row["ITEM_ID"]
            for row in self.interactions
            if row["USER_ID"] == user and (not events or row["EVENT_TYPE"] in events)
        }


ROWS = ShopRows()


def csv(schema: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    names = [each["name"] for each in schema["fields"]]
    lines = [",".join("" if row[name] is None else str(row[name]) for name in names) for row in rows]
    return "\n".join([",".join(names), *lines, ""])


def schema_text(schema: dict[str, Any]) -> str:
    return json.dumps(schema)
