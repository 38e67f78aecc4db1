"""Open the one SQLite file that holds everything, and keep a second server out of it."""

from __future__ import annotations

import fcntl
import sqlite3
from pathlib import Path
from typing import IO

FILE_NAME = "braze.db"
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
    """Say that another server holds this data directory."""


def claim(directory: Path) -> IO[str]:
    """Create the directory if need be and lock it for this process; closing the file gives it up.

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
    """Open the database, creating its tables; transactions are begun and committed by hand.

    A commit survives the death of the process (WAL); only a power failure may lose the last ones.
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
