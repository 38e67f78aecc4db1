"""Apply accepted changes to the database, inside the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from braze_local.attribute_rules import AttributeRules
from braze_local.catalog_validation import patched_item
from braze_local.identifiers import keys_of, normalized_email
from braze_local.meter import Tally
from braze_local.profiles import apply_attributes, apply_event, apply_purchase
from braze_local.store import UNSCRUBBED_KEY
from braze_local.workset import Workset

Kind = Literal["track", "items", "delete"]
_Step = Callable[[dict[str, Any], dict[str, Any], Tally, AttributeRules], bool]
# Braze applies the attributes of a request first, then its events, then its purchases.
_STEPS: list[tuple[str, _Step]] = [
    ("attributes", apply_attributes),
    ("events", apply_event),
    ("purchases", apply_purchase),
]
# A profile that may be deleted: its row, external_id, time of the last update and document.
_Candidate = tuple[int, str | None, float, bytes]
_SELECT = "SELECT id, external_id, updated_at, document FROM profiles "
_COLUMN_OF_IDENTIFIER = {
    "external_ids": "external_id",
    "braze_ids": "braze_id",
    "email_addresses": "email",
    "phone_numbers": "phone",
}


@dataclass(slots=True)
class Change:
    """Hold one accepted request until it is due.

    `due_seconds` is epoch time. `payload` is valid JSON: for ``track`` the body of /users/track without its
    rejected objects, for ``items`` an object of `catalog_id`, `method`, `items`, for ``delete`` an object of
    `kind` and `values`. It stays encoded, because parsed objects take ten times the memory.
    """

    due_seconds: float
    kind: Kind
    payload: bytes
    journal_id: int | None = None


def apply_changes(
    connection: sqlite3.Connection, changes: Sequence[Change], now_seconds: float, rules: AttributeRules
) -> Tally:
    """Apply changes in order, record the types of new attributes in `rules`, and return the costs."""
    tally = Tally()
    bodies = [(change.kind, msgspec.json.decode(change.payload)) for change in changes]
    work = Workset(connection, now_seconds)
    # In order of arrival: a set would access memory and index pages at random.
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
            # Empty the workset first: it must neither return deleted profiles nor write them back.
            work.save()
            deleted = _delete_profiles(connection, body)
            work.forget(deleted)
            tally.deleted += deleted
        else:
            apply_items(connection, body)
    work.save()
    return tally


def _apply_track(work: Workset, body: dict[str, Any], tally: Tally, rules: AttributeRules) -> None:
    for array, step in _STEPS:
        for item in body.get(array, ()):
            record = work.find_or_create(item)
            if record is None:
                tally.missing_users += 1
                continue
            if array == "attributes":
                tally.users.append(record.document.get("external_id") or record.document["braze_id"])
            if step(record.document, item, tally, rules):
                record.dirty = True


def apply_items(connection: sqlite3.Connection, body: dict[str, Any]) -> None:
    """Apply one change of catalog items: `catalog_id`, `method` and `items`."""
    catalog_id, items = body["catalog_id"], body["items"]
    # The catalog may have been deleted since the request was accepted.
    if connection.execute("SELECT 1 FROM catalogs WHERE id = ?", (catalog_id,)).fetchone():
        _ITEM_STEPS[body["method"]](connection, catalog_id, items)


def _replace_items(connection: sqlite3.Connection, catalog_id: int, items: list[dict[str, Any]]) -> None:
    connection.executemany(
        "INSERT INTO items (catalog_id, id, document) VALUES (?, ?, ?)"
        " ON CONFLICT (catalog_id, id) DO UPDATE SET document = excluded.document",
        [(catalog_id, item["id"], msgspec.json.encode(item)) for item in items],
    )


def _create_items(connection: sqlite3.Connection, catalog_id: int, items: list[dict[str, Any]]) -> None:
    connection.executemany(
        "INSERT INTO items (catalog_id, id, document) VALUES (?, ?, ?)"
        " ON CONFLICT (catalog_id, id) DO NOTHING",
        [(catalog_id, item["id"], msgspec.json.encode(item)) for item in items],
    )


def _patch_items(connection: sqlite3.Connection, catalog_id: int, items: list[dict[str, Any]]) -> None:
    for item in items:
        row = connection.execute(
            "SELECT document FROM items WHERE catalog_id = ? AND id = ?", (catalog_id, item["id"])
        ).fetchone()
        if row:
            _replace_items(connection, catalog_id, [patched_item(msgspec.json.decode(row[0]), item)])


def _delete_items(connection: sqlite3.Connection, catalog_id: int, items: list[dict[str, Any]]) -> None:
    connection.executemany(
        "DELETE FROM items WHERE catalog_id = ? AND id = ?", [(catalog_id, item["id"]) for item in items]
    )


_ITEM_STEPS = {"PUT": _replace_items, "POST": _create_items, "PATCH": _patch_items, "DELETE": _delete_items}


def _delete_profiles(connection: sqlite3.Connection, body: dict[str, Any]) -> list[str]:
    """Delete the profiles of an accepted /users/delete and return the keys of all their identifiers."""
    deleted: list[str] = []
    for value in body["values"]:
        for row, _, _, document in _profiles_to_delete(connection, body["kind"], value):
            connection.execute(
                "DELETE FROM aliases WHERE braze_id = (SELECT braze_id FROM profiles WHERE id = ?)", (row,)
            )
            connection.execute("DELETE FROM profiles WHERE id = ?", (row,))
            deleted += keys_of(msgspec.json.decode(document))
    connection.execute("INSERT OR REPLACE INTO state (key, value) VALUES (?, ?)", (UNSCRUBBED_KEY, b"true"))
    return deleted


def _profiles_to_delete(connection: sqlite3.Connection, kind: str, value: Any) -> list[_Candidate]:
    if kind == "user_aliases":
        query = f"{_SELECT}JOIN aliases USING (braze_id) WHERE label = ? AND name = ?"
        return connection.execute(query, (value["alias_label"], value["alias_name"])).fetchall()
    column = _COLUMN_OF_IDENTIFIER[kind]
    query = f"{_SELECT}WHERE {column} = ?"
    if not isinstance(value, dict):
        return connection.execute(query, (value,)).fetchall()
    wanted = normalized_email(value[column]) if column == "email" else value[column]
    candidates = connection.execute(query, (wanted,)).fetchall()
    for priority in value["prioritization"]:
        if len(candidates) > 1:
            candidates = _prioritized(candidates, priority) or candidates
    # Braze deletes no profile while several match.
    return candidates if len(candidates) == 1 else []


def _prioritized(candidates: list[_Candidate], priority: str) -> list[_Candidate]:
    if priority == "most_recently_updated":
        return [max(candidates, key=lambda each: (each[2], each[0]))]
    return [each for each in candidates if (each[1] is not None) == (priority == "identified")]
