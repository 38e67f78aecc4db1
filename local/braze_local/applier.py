"""Apply accepted changes to the database, inside a transaction the caller owns."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from braze_local.catalog_items import patched_item
from braze_local.changes import Change
from braze_local.profiles import apply_attributes, apply_event, apply_purchase
from braze_local.removal import remove_profiles
from braze_local.rules import Rules
from braze_local.tally import Tally
from braze_local.workset import Workset

_Step = Callable[[dict[str, Any], dict[str, Any], Tally, Rules], bool]
# Braze starts attributes, then events, then purchases of one request.
_STEPS: list[tuple[str, _Step]] = [
    ("attributes", apply_attributes),
    ("events", apply_event),
    ("purchases", apply_purchase),
]


def apply_changes(
    connection: sqlite3.Connection, changes: Sequence[Change], now_seconds: float, rules: Rules
) -> Tally:
    """Apply changes in their order, noting new attributes' types in `rules`, and return what they cost."""
    tally = Tally()
    bodies = [(change.kind, msgspec.json.decode(change.payload)) for change in changes]
    work = Workset(connection, now_seconds)
    # In the order they came: a set's order would send memory and index pages through the cache at random.
    work.prefetch(
        dict.fromkeys(
            item["external_id"]
            for kind, body in bodies
            if kind == "track"
            for array, _ in _STEPS
            for item in body.get(array, ())
            if "external_id" in item
        )
    )
    for kind, body in bodies:
        if kind == "track":
            _apply_track(work, body, tally, rules)
        elif kind == "delete":
            # What is held in memory goes first: it must neither be found again nor written back.
            work.save()
            gone = remove_profiles(connection, body)
            work.forget(gone)
            tally.deleted += gone
        else:
            apply_items(connection, body)
    work.save()
    return tally


def _apply_track(work: Workset, body: dict[str, Any], tally: Tally, rules: Rules) -> None:
    for array, step in _STEPS:
        for item in body.get(array, ()):
            record = work.target(item)
            if record is None:
                tally.missing_users += 1
                continue
            if array == "attributes" and "external_id" in item:
                tally.users.append(item["external_id"])
            if step(record.document, item, tally, rules):
                record.dirty = True


def apply_items(connection: sqlite3.Connection, body: dict[str, Any]) -> None:
    """Apply one change of catalog items: `catalog_id`, `method` and `items`."""
    catalog_id, items = body["catalog_id"], body["items"]
    # The catalogue may have been deleted since the request was accepted.
    if connection.execute("SELECT 1 FROM catalogs WHERE id = ?", (catalog_id,)).fetchone():
        _ITEM_STEPS[body["method"]](connection, catalog_id, items)


def _replace(connection: sqlite3.Connection, catalog_id: int, items: list[dict[str, Any]]) -> None:
    connection.executemany(
        "INSERT INTO items (catalog_id, id, document) VALUES (?, ?, ?)"
        " ON CONFLICT (catalog_id, id) DO UPDATE SET document = excluded.document",
        [(catalog_id, item["id"], msgspec.json.encode(item)) for item in items],
    )


def _create(connection: sqlite3.Connection, catalog_id: int, items: list[dict[str, Any]]) -> None:
    connection.executemany(
        "INSERT INTO items (catalog_id, id, document) VALUES (?, ?, ?)"
        " ON CONFLICT (catalog_id, id) DO NOTHING",
        [(catalog_id, item["id"], msgspec.json.encode(item)) for item in items],
    )


def _edit(connection: sqlite3.Connection, catalog_id: int, items: list[dict[str, Any]]) -> None:
    for item in items:
        row = connection.execute(
            "SELECT document FROM items WHERE catalog_id = ? AND id = ?", (catalog_id, item["id"])
        ).fetchone()
        if row:
            _replace(connection, catalog_id, [patched_item(msgspec.json.decode(row[0]), item)])


def _delete(connection: sqlite3.Connection, catalog_id: int, items: list[dict[str, Any]]) -> None:
    connection.executemany(
        "DELETE FROM items WHERE catalog_id = ? AND id = ?", [(catalog_id, item["id"]) for item in items]
    )


_ITEM_STEPS = {"PUT": _replace, "POST": _create, "PATCH": _edit, "DELETE": _delete}
