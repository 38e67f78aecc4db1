"""Make minimal data on which all recipes of the walk train."""

from __future__ import annotations

import json
from typing import Any

_USERS = 60
_ITEMS = 50
_ACTIONS = 6
_EVENTS_PER_USER = 20
_FIRST_SECONDS = 1_700_000_000
_ID = {"type": "string"}
_TIME = {"name": "TIMESTAMP", "type": "long"}
_CATEGORY = {"name": "CATEGORY", "type": ["null", "string"], "categorical": True}

_FIELDS: dict[str, list[dict[str, Any]]] = {
    "Interactions": [
        {"name": "USER_ID", **_ID},
        {"name": "ITEM_ID", **_ID},
        {"name": "EVENT_TYPE", **_ID},
        _TIME,
    ],
    "Items": [{"name": "ITEM_ID", **_ID}, _CATEGORY],
    "Users": [{"name": "USER_ID", **_ID}, {"name": "AGE", "type": ["null", "int"]}],
    "Actions": [{"name": "ACTION_ID", **_ID}, {"name": "VALUE", "type": ["null", "long"]}],
    "ActionInteractions": [
        {"name": "USER_ID", **_ID},
        {"name": "ACTION_ID", **_ID},
        {"name": "EVENT_TYPE", **_ID},
        _TIME,
    ],
}
DATASET_TYPES = {"ActionInteractions": "Action_Interactions"}
NAMES = tuple(_FIELDS)


def schema(name: str, *more: dict[str, Any]) -> str:
    """Return the Avro schema of a dataset, with additional fields."""
    return json.dumps(
        {
            "type": "record",
            "name": name,
            "namespace": "com.amazonaws.personalize.schema",
            "version": "1.0",
            "fields": [*_FIELDS[name], *more],
        }
    )


def csv_rows(name: str) -> str:
    """Return the rows of a dataset as CSV: even users like even items, odd users odd ones."""
    header = ",".join(field["name"] for field in _FIELDS[name])
    return "\n".join([header, *_ROWS[name]()]) + "\n"


def _interactions() -> list[str]:
    return [
        f"u{user},i{user % 2 + 2 * ((user + step * 3) % (_ITEMS // 2))},buy,{_FIRST_SECONDS + user * 1000 + step}"
        for user in range(_USERS)
        for step in range(_EVENTS_PER_USER)
    ]


def _items() -> list[str]:
    return [f"i{item},c{item % 2}" for item in range(_ITEMS)]


def _users() -> list[str]:
    return [f"u{user},{20 + user}" for user in range(_USERS)]


def _actions() -> list[str]:
    return [f"a{action},{action + 1}" for action in range(_ACTIONS)]


def _action_interactions() -> list[str]:
    return [
        f"u{user},a{action},{'Taken' if action % 2 == user % 2 else 'Viewed'},{_FIRST_SECONDS + user * 1000 + action}"
        for user in range(_USERS)
        for action in range(_ACTIONS)
    ]


_ROWS = {
    "Interactions": _interactions,
    "Items": _items,
    "Users": _users,
    "Actions": _actions,
    "ActionInteractions": _action_interactions,
}
