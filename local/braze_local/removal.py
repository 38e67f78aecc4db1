"""Remove profiles from the database, and then what SQLite keeps of deleted rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

# Says, across restarts, that free pages or the write-ahead log may still hold a deleted profile.
DIRTY_KEY = "unscrubbed"
# A profile while it is being chosen: its row, external_id, and when it was last updated.
_Candidate = tuple[int, str | None, float]
_SELECT = "SELECT id, external_id, updated_at FROM profiles "


def remove_profiles(connection: sqlite3.Connection, body: dict[str, Any]) -> list[str]:
    """Delete whom an accepted /users/delete names, in the caller's transaction; return their external_ids.

    Identifiers nobody has are passed over.
    """
    gone: list[str] = []
    for value in body["values"]:
        for row, external_id, _ in _FINDERS[body["kind"]](connection, value):
            connection.execute(
                "DELETE FROM aliases WHERE braze_id = (SELECT braze_id FROM profiles WHERE id = ?)", (row,)
            )
            connection.execute("DELETE FROM profiles WHERE id = ?", (row,))
            if external_id is not None:
                gone.append(external_id)
    connection.execute("INSERT OR REPLACE INTO state (key, value) VALUES (?, ?)", (DIRTY_KEY, b"true"))
    return gone


def is_dirty(connection: sqlite3.Connection) -> bool:
    """Tell whether something was deleted since the last scrub."""
    return connection.execute("SELECT 1 FROM state WHERE key = ?", (DIRTY_KEY,)).fetchone() is not None


def scrub(connection: sqlite3.Connection) -> bool:
    """Write the database anew without its free space and empty its log; False when a reader is in the way.

    Deleting a row only marks its bytes as free, and the write-ahead log keeps former pages.
    """
    connection.execute("VACUUM")
    if not _log_emptied(connection):
        return False
    connection.execute("DELETE FROM state WHERE key = ?", (DIRTY_KEY,))
    return True


def _log_emptied(connection: sqlite3.Connection) -> bool:
    # The connection's own timeout would hold up all writing for as long as somebody reads.
    (timeout_ms,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout=100")
    try:
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout={int(timeout_ms)}")
    return not busy


def _by_column(column: str) -> Callable[[sqlite3.Connection, Any], list[_Candidate]]:
    def found(connection: sqlite3.Connection, value: Any) -> list[_Candidate]:
        return connection.execute(f"{_SELECT}WHERE {column} = ?", (value,)).fetchall()

    return found


def _by_alias(connection: sqlite3.Connection, alias: dict[str, str]) -> list[_Candidate]:
    query = f"{_SELECT}JOIN aliases USING (braze_id) WHERE label = ? AND name = ?"
    return connection.execute(query, (alias["alias_label"], alias["alias_name"])).fetchall()


def _prioritized(column: str) -> Callable[[sqlite3.Connection, Any], list[_Candidate]]:
    find = _by_column(column)

    def found(connection: sqlite3.Connection, value: dict[str, Any]) -> list[_Candidate]:
        candidates = find(connection, value[column])
        for priority in value["prioritization"]:
            if len(candidates) > 1:
                candidates = _narrowed(candidates, priority) or candidates
        # Braze: nobody is deleted while more than one matches.
        return candidates if len(candidates) == 1 else []

    return found


def _narrowed(candidates: list[_Candidate], priority: str) -> list[_Candidate]:
    if priority == "most_recently_updated":
        return [max(candidates, key=lambda each: (each[2], each[0]))]
    return [each for each in candidates if (each[1] is not None) == (priority == "identified")]


_FINDERS = {
    "external_ids": _by_column("external_id"),
    "braze_ids": _by_column("braze_id"),
    "user_aliases": _by_alias,
    "email_addresses": _prioritized("email"),
    "phone_numbers": _prioritized("phone"),
}
