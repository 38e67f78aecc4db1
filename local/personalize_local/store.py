"""Store all resources in one SQLite file, so that they survive a restart and a kill."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from personalize_local.resources import UNFINISHED, Resource

_TABLES = """
CREATE TABLE IF NOT EXISTS resources (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    arn TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    region TEXT NOT NULL,
    parent_arn TEXT,
    status TEXT NOT NULL,
    body TEXT NOT NULL,
    internal TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS resources_by_kind ON resources (kind, region, sequence);
CREATE INDEX IF NOT EXISTS resources_by_parent ON resources (parent_arn);
CREATE TABLE IF NOT EXISTS meter (key TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
"""
_COLUMNS = "arn, kind, region, parent_arn, body, internal, sequence"


class Store:
    """Read and write resources; every method takes part in the transaction of its thread."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # With a write-ahead log, a killed process loses no committed transaction.
        self._db.execute("PRAGMA journal_mode=WAL")
        # NORMAL may lose the last commits on power loss only.
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_TABLES)

    def close(self) -> None:
        """Close the file once no transaction is open."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Generator[Store]:
        """Run one transaction; nested transactions join the outer one."""
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self
            except BaseException:
                if self._depth == 1:
                    self._db.execute("ROLLBACK")
                raise
            else:
                if self._depth == 1:
                    self._db.execute("COMMIT")
            finally:
                self._depth -= 1

    def insert(self, resource: Resource) -> None:
        """Add a resource; its ARN must be new."""
        row = (resource.arn, resource.kind, resource.region, resource.parent_arn, *_values(resource))
        self._write(
            "INSERT INTO resources (arn, kind, region, parent_arn, status, body, internal)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            row,
        )

    def save(self, resource: Resource) -> None:
        """Update a stored resource."""
        self._write(
            "UPDATE resources SET status = ?, body = ?, internal = ? WHERE arn = ?",
            (*_values(resource), resource.arn),
        )

    def delete(self, arn: str) -> None:
        """Remove a resource; a missing one is no error."""
        self._write("DELETE FROM resources WHERE arn = ?", (arn,))

    def meter(self, key: str, amount: float) -> None:
        """Add `amount` to a figure of the meter."""
        self._write(
            "INSERT INTO meter (key, value) VALUES (?, ?)"
            " ON CONFLICT (key) DO UPDATE SET value = value + excluded.value",
            (key, amount),
        )

    def metered(self) -> dict[str, float]:
        """Return the figures of the meter that are not zero."""
        with self._lock:
            return dict(self._db.execute("SELECT key, value FROM meter").fetchall())

    def get(self, arn: str) -> Resource | None:
        """Return the resource with this ARN, if there is one."""
        found = self._read("arn = ?", [arn])
        return found[0] if found else None

    def select(
        self,
        kind: str,
        *,
        region: str | None = None,
        parent_arn: str | None = None,
        statuses: Iterable[str] | None = None,
        after_sequence: int = 0,
        limit: int = -1,
    ) -> list[Resource]:
        """Return resources of a kind in the order of their creation; a limit of -1 means all."""
        conditions: list[tuple[str, object]] = [("kind = ?", kind), ("sequence > ?", after_sequence)]
        if region is not None:
            conditions.append(("region = ?", region))
        if parent_arn is not None:
            conditions.append(("parent_arn = ?", parent_arn))
        where = " AND ".join(text for text, _ in conditions)
        values = [value for _, value in conditions]
        if statuses is not None:
            wanted = list(statuses)
            where += f" AND status IN ({', '.join('?' * len(wanted))})"
            values += wanted
        return self._read(where, values, limit)

    def unfinished(self) -> list[Resource]:
        """Return the resources with an unfinished job, e.g. of a killed server."""
        marks = ", ".join("?" * len(UNFINISHED))
        return self._read(f"status IN ({marks})", list(UNFINISHED))

    def _read(self, where: str, values: list[object] | list[str], limit: int = -1) -> list[Resource]:
        # ruff: ignore[hardcoded-sql-expression] - the conditions are literals of this module
        query = f"SELECT {_COLUMNS} FROM resources WHERE {where} ORDER BY sequence LIMIT {int(limit)}"
        with self._lock:
            rows = self._db.execute(query, values).fetchall()
        return [_resource(*row) for row in rows]

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        with self.transaction():
            self._db.execute(statement, values)


def _values(resource: Resource) -> tuple[str, str, str]:
    return resource.status, json.dumps(resource.body), json.dumps(resource.internal)


def _resource(
    arn: str, kind: str, region: str, parent_arn: str | None, body: str, internal: str, sequence: int
) -> Resource:
    return Resource(arn, kind, region, parent_arn, json.loads(body), json.loads(internal), sequence)
