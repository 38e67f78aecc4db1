"""Store accepted streamed rows until they are moved into a Parquet file.

The log has its own SQLite file, so that streaming and the control plane do not wait for each other.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TABLES = """
CREATE TABLE IF NOT EXISTS log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    dataset INTEGER NOT NULL,
    key TEXT NOT NULL,
    cells TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS log_by_key ON log (dataset, key, id);
CREATE TABLE IF NOT EXISTS event_ids (
    dataset INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    PRIMARY KEY (dataset, event_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS received (id INTEGER PRIMARY KEY, bytes INTEGER NOT NULL);
"""

Cells = dict[str, Any]


@dataclass(frozen=True)
class StreamedRow:
    """One accepted row: `key` is its user, item or action; a repeated `event_id` is ignored."""

    key: str
    cells: Cells
    event_id: str | None = None


@dataclass(frozen=True)
class Tail:
    """Rows of the log, oldest first, and the number of the last one."""

    rows: list[Cells]
    last_id: int


class Log:
    """Append and read rows by the dataset's sequence number, which is never reused."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # As in the store: committed rows survive a killed process.
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_TABLES)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def append(self, dataset: int, rows: Sequence[StreamedRow]) -> None:
        """Add all rows in one transaction, except those with a known event id."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for row in rows:
                    self._append(dataset, row)
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _append(self, dataset: int, row: StreamedRow) -> None:
        if row.event_id is not None:
            statement = "INSERT OR IGNORE INTO event_ids (dataset, event_id) VALUES (?, ?)"
            if self._db.execute(statement, (dataset, row.event_id)).rowcount == 0:
                return
        statement = "INSERT INTO log (dataset, key, cells) VALUES (?, ?, ?)"
        self._db.execute(statement, (dataset, row.key, json.dumps(row.cells)))

    def count_bytes(self, amount: int) -> None:
        """Add the size of an accepted call."""
        statement = (
            "INSERT INTO received VALUES (0, ?) ON CONFLICT (id) DO UPDATE SET bytes = bytes + excluded.bytes"
        )
        with self._lock:
            self._db.execute(statement, (amount,))

    def received_bytes(self) -> int:
        """Return the size of all accepted calls."""
        with self._lock:
            found = self._db.execute("SELECT bytes FROM received").fetchone()
        return int(found[0]) if found else 0

    def read(self, dataset: int, after_id: int, key: str | None = None, most: int = -1) -> Tail:
        """Return a dataset's rows after `after_id`, optionally of one key; `most` of -1 means no limit."""
        query = "SELECT id, cells FROM log WHERE dataset = ? AND id > ?"
        values: list[object] = [dataset, after_id]
        if key is not None:
            query, values = f"{query} AND key = ?", [*values, key]
        with self._lock:
            found = self._db.execute(f"{query} ORDER BY id LIMIT ?", [*values, most]).fetchall()
        return Tail([json.loads(cells) for _, cells in found], found[-1][0] if found else after_id)

    def last_id(self, dataset: int) -> int:
        """Return the number of a dataset's newest row in the log; 0 without any."""
        with self._lock:
            found = self._db.execute("SELECT MAX(id) FROM log WHERE dataset = ?", (dataset,)).fetchone()
        return int(found[0] or 0)

    def sizes(self) -> dict[int, int]:
        """Return the number of rows per dataset."""
        with self._lock:
            return dict(self._db.execute("SELECT dataset, COUNT(*) FROM log GROUP BY dataset").fetchall())

    def drop(self, dataset: int, up_to_id: int) -> None:
        """Delete a dataset's rows up to `up_to_id`; keep the event ids."""
        with self._lock:
            self._db.execute("DELETE FROM log WHERE dataset = ? AND id <= ?", (dataset, up_to_id))

    def erase(self, datasets: Sequence[int], keys: Sequence[str]) -> None:
        """Delete all rows of these keys (users), also from SQLite's free pages and write-ahead log.

        Deleted rows stay readable there until both are rewritten.
        """
        with self._lock:
            self._db.executemany(
                "DELETE FROM log WHERE dataset = ? AND key = ?",
                [(dataset, key) for dataset in datasets for key in keys],
            )
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def forget(self, dataset: int) -> None:
        """Delete all rows and event ids of a deleted dataset."""
        with self._lock:
            self._db.execute("DELETE FROM log WHERE dataset = ?", (dataset,))
            self._db.execute("DELETE FROM event_ids WHERE dataset = ?", (dataset,))
