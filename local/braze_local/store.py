"""Open, lock, scrub and read the SQLite file that holds all state."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from braze_local.identifiers import identifier_of, key_of, normalized_email
from braze_local.profiles import with_defaults

Json = dict[str, Any]
_decode = msgspec.json.decode
_encode = msgspec.json.encode
# A prefix followed by this sorts after every string with that prefix.
LAST_CHARACTER = "\U0010ffff"
FILE_NAME = "braze.db"
# This key of table `state` marks, across restarts, that free pages or the log may still hold a deleted profile.
UNSCRUBBED_KEY = "unscrubbed"
# How long a connection waits for another one's lock before it fails.
BUSY_TIMEOUT_SECONDS = 30.0
# A transaction of the writer changes some 1,000 pages: SQLite's own 2 MB of cache and a checkpoint after
# 1,000 pages would write most of them to disk twice.
CACHE_KIB = 64 * 1024
CHECKPOINT_PAGES = 8_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS profiles (
  id INTEGER PRIMARY KEY,
  external_id TEXT UNIQUE,
  braze_id TEXT NOT NULL UNIQUE,
  email TEXT,
  phone TEXT,
  updated_at REAL NOT NULL,
  document BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS profiles_email ON profiles (email) WHERE email IS NOT NULL;
CREATE INDEX IF NOT EXISTS profiles_phone ON profiles (phone) WHERE phone IS NOT NULL;
CREATE TABLE IF NOT EXISTS aliases (
  label TEXT NOT NULL,
  name TEXT NOT NULL,
  braze_id TEXT NOT NULL,
  PRIMARY KEY (label, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS catalogs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  description TEXT NOT NULL,
  fields BLOB NOT NULL,
  updated_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS items (
  catalog_id INTEGER NOT NULL,
  id TEXT NOT NULL,
  document BLOB NOT NULL,
  PRIMARY KEY (catalog_id, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pending (
  id INTEGER PRIMARY KEY,
  due REAL NOT NULL,
  kind TEXT NOT NULL,
  payload BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS state (
  key TEXT PRIMARY KEY,
  value BLOB NOT NULL
) WITHOUT ROWID;
"""


class DataDirectoryInUseError(RuntimeError):
    """Another server uses this data directory."""


def claim(directory: Path) -> IO[str]:
    """Create the directory if missing and lock it for this process until the returned file is closed.

    Raises DataDirectoryInUseError when another process holds it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = (directory / "lock").open("w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise DataDirectoryInUseError(f"another server is using the data directory {directory}") from None
    return lock


def connect(directory: Path) -> sqlite3.Connection:
    """Open the database without implicit transactions and create missing tables.

    In WAL mode a commit survives the end of the process; a power failure may lose the last ones.
    """
    connection = sqlite3.connect(
        directory / FILE_NAME, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    connection.executescript(SCHEMA)
    return connection


def needs_scrub(connection: sqlite3.Connection) -> bool:
    """Return whether profiles were deleted since the last scrub."""
    return connection.execute("SELECT 1 FROM state WHERE key = ?", (UNSCRUBBED_KEY,)).fetchone() is not None


def scrub(connection: sqlite3.Connection) -> bool:
    """Rewrite the database and empty its write-ahead log; return False when a reader blocks it.

    A deleted row otherwise stays readable in free pages and in earlier pages of the log.
    """
    connection.execute("VACUUM")
    # The connection's own timeout would block all writes while another connection reads.
    (timeout_ms,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout=100")
    try:
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout={int(timeout_ms)}")
    if busy:
        return False
    connection.execute("DELETE FROM state WHERE key = ?", (UNSCRUBBED_KEY,))
    return True


@dataclass(frozen=True, slots=True)
class Catalog:
    """Hold the definition of one catalog; `fields` maps names to types in column order, `id` first."""

    id: int
    name: str
    description: str
    fields: dict[str, str]
    updated_at: str


class Reader:
    """Read the applied state, as Braze would show it, through a separate SQLite connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def profile(self, external_id: str) -> Json | None:
        """Return one profile document, or None."""
        return self._profile("SELECT document FROM profiles WHERE external_id = ?", external_id)

    def profile_by_braze_id(self, braze_id: str) -> Json | None:
        """Return one profile document, or None."""
        return self._profile("SELECT document FROM profiles WHERE braze_id = ?", braze_id)

    def profile_by_alias(self, label: str, name: str) -> Json | None:
        """Return the profile with this alias, or None."""
        return self._profile(
            "SELECT document FROM aliases JOIN profiles USING (braze_id) WHERE label = ? AND name = ?",
            label,
            name,
        )

    def profiles_by_email(self, email: str) -> list[Json]:
        """Return every profile with this e-mail address."""
        return self._profiles(
            "SELECT document FROM profiles WHERE email = ? ORDER BY id", normalized_email(email)
        )

    def profiles_by_phone(self, phone: str) -> list[Json]:
        """Return every profile with this phone number."""
        return self._profiles("SELECT document FROM profiles WHERE phone = ? ORDER BY id", phone)

    def profiles_by_external_id(self, external_ids: Iterable[str]) -> dict[str, Json]:
        """Return the profiles that exist, by external_id."""
        rows = self._connection.execute(
            "SELECT external_id, document FROM profiles"
            " WHERE external_id IN (SELECT value FROM json_each(?))",
            (_encode(list(external_ids)).decode(),),
        )
        return {external_id: with_defaults(_decode(document)) for external_id, document in rows}

    def existing(self, external_ids: Iterable[str]) -> set[str]:
        """Return the external_ids that exist."""
        (found,) = self._connection.execute(
            "SELECT json_group_array(external_id) FROM profiles"
            " WHERE external_id IN (SELECT value FROM json_each(?))",
            (_encode(list(external_ids)).decode(),),
        ).fetchone()
        return set(_decode(found))

    def existing_others(self, identified: Iterable[Json]) -> set[str]:
        """Return the keys of existing users among objects without an external_id."""
        return {key_of(one) for one in identified if self._exists(one)}

    def _exists(self, identified: Json) -> bool:
        name = identifier_of(identified)
        value = identified[name]
        if name == "user_alias":
            return self.profile_by_alias(value["alias_label"], value["alias_name"]) is not None
        if name == "braze_id":
            return self.profile_by_braze_id(value) is not None
        return bool(self.profiles_by_email(value) if name == "email" else self.profiles_by_phone(value))

    def profiles(self, *, limit: int, offset: int, prefix: str = "") -> list[Json]:
        """Return one page of the profiles with this prefix, by external_id; profiles without one come first."""
        if prefix:
            return self._profiles(
                "SELECT document FROM profiles WHERE external_id >= ? AND external_id < ?"
                " ORDER BY external_id LIMIT ? OFFSET ?",
                prefix,
                prefix + LAST_CHARACTER,
                limit,
                offset,
            )
        return self._profiles(
            "SELECT document FROM profiles ORDER BY external_id LIMIT ? OFFSET ?", limit, offset
        )

    def profile_count(self, prefix: str = "") -> int:
        """Count the profiles with a prefix of the external_id; all profiles without a prefix."""
        if prefix:
            return self._number(
                "SELECT COUNT(*) FROM profiles WHERE external_id >= ? AND external_id < ?",
                prefix,
                prefix + LAST_CHARACTER,
            )
        return self._number("SELECT COUNT(*) FROM profiles")

    def catalogs(self) -> list[Catalog]:
        """Return every catalog in the order of creation."""
        rows = self._connection.execute(
            "SELECT id, name, description, fields, updated_at FROM catalogs ORDER BY id"
        )
        return [Catalog(row[0], row[1], row[2], _decode(row[3]), row[4]) for row in rows]

    def item_count(self, catalog_id: int) -> int:
        """Count the items of a catalog."""
        return self._number("SELECT COUNT(*) FROM items WHERE catalog_id = ?", catalog_id)

    def catalog_bytes(self) -> int:
        """Return the total size of all catalog items."""
        return self._number("SELECT COALESCE(SUM(LENGTH(document)), 0) FROM items")

    def items(self, catalog_id: int, *, limit: int, offset: int) -> list[Json]:
        """Return one page of a catalog's items by id."""
        return self._documents(
            "SELECT document FROM items WHERE catalog_id = ? ORDER BY id LIMIT ? OFFSET ?",
            catalog_id,
            limit,
            offset,
        )

    def items_by_id(self, catalog_id: int, ids: Iterable[str]) -> dict[str, Json]:
        """Return the items that exist, by id."""
        rows = self._connection.execute(
            "SELECT id, document FROM items WHERE catalog_id = ? AND id IN (SELECT value FROM json_each(?))",
            (catalog_id, _encode(list(ids)).decode()),
        )
        return {item_id: _decode(document) for item_id, document in rows}

    def state(self, key: str) -> Any:
        """Return the value of a key of table `state`, or None."""
        row = self._connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return _decode(row[0]) if row else None

    def _profile(self, query: str, *parameters: str) -> Json | None:
        row = self._connection.execute(query, parameters).fetchone()
        return with_defaults(_decode(row[0])) if row else None

    def _profiles(self, query: str, *parameters: str | int) -> list[Json]:
        return [with_defaults(document) for document in self._documents(query, *parameters)]

    def _documents(self, query: str, *parameters: str | int) -> list[Json]:
        return [_decode(row[0]) for row in self._connection.execute(query, parameters)]

    def _number(self, query: str, *parameters: str | int) -> int:
        return int(self._connection.execute(query, parameters).fetchone()[0])
