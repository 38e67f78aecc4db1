"""Write behind: one thread makes all changes of the database, in several transactions a second."""

from __future__ import annotations

import heapq
import itertools
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

import msgspec

from braze_local.applier import Change, apply_changes
from braze_local.attribute_rules import AttributeRules
from braze_local.meter import Meter
from braze_local.store import needs_scrub, scrub

# How often accepted changes are written to disk: a kill -9 loses at most this much.
CYCLE_SECONDS = 0.1
# Changes applied in one transaction, so that a long queue does not delay the journal.
CHANGES_PER_CYCLE = 64
_METER, _TYPES = "meter", "types"
# Delay between a deletion and the scrub of the file, so that many deletions share one scrub.
SCRUB_SECONDS = 5.0


class WriterStoppedError(RuntimeError):
    """The writer thread has ended and accepts no more changes."""


class Writer:
    """Journal accepted changes, apply due ones and save the meter, all in one transaction.

    After a crash the next start finds the state of the last commit.
    """

    def __init__(self, connection: sqlite3.Connection, meter: Meter) -> None:
        self._connection = connection
        self._meter = meter
        self.rules = AttributeRules()
        # Called with the keys of the identifiers of deleted profiles.
        self.on_deleted: Callable[[Iterable[str]], object] = lambda _ids: None
        self._scrub_at_seconds: float | None = None
        self._accepted: deque[Change] = deque()
        self._commands: deque[tuple[Callable[[sqlite3.Connection], Any], Future[Any]]] = deque()
        self._flushes: deque[Future[None]] = deque()
        self._queue: list[tuple[float, int, Change]] = []
        self._serial = itertools.count()
        self._journal_ids = itertools.count(1)
        self._wake = threading.Event()
        self._stopping = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="braze-writer", daemon=True)

    def start(self) -> None:
        """Load the meter, the attribute types and the pending changes, then start the thread."""
        state = dict(self._connection.execute("SELECT key, value FROM state").fetchall())
        if _METER in state:
            self._meter.load(msgspec.json.decode(state[_METER]))
        self.rules.types = msgspec.json.decode(state.get(_TYPES, b"{}"))
        rows = self._connection.execute("SELECT due, kind, payload, id FROM pending ORDER BY id").fetchall()
        for row in rows:
            self._enqueue(Change(*row))
        self._journal_ids = itertools.count(rows[-1][3] + 1 if rows else 1)
        if needs_scrub(self._connection):
            self._scrub_at_seconds = 0.0
        self._thread.start()

    def stop(self) -> None:
        """Journal pending changes, commit, and end the thread."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    @property
    def running(self) -> bool:
        """Return whether the thread accepts changes."""
        return self._error is None and self._thread.is_alive()

    @property
    def pending(self) -> int:
        """Count the accepted requests that are not applied yet."""
        return len(self._queue) + len(self._accepted)

    def accept(self, change: Change) -> None:
        """Accept a change; it is on disk within `CYCLE_SECONDS` and visible once due.

        Raises WriterStoppedError when the thread has ended.
        """
        if not self.running:
            raise WriterStoppedError(f"the writer has stopped: {self._error}")
        self._accepted.append(change)

    def run(self, command: Callable[[sqlite3.Connection], Any]) -> Future[Any]:
        """Run a command in the next transaction and return the future of its result."""
        future: Future[Any] = Future()
        self._commands.append((command, future))
        return self._wake_for(future)

    def flush(self) -> Future[None]:
        """Apply all accepted changes, due or not; the future completes with the commit."""
        future: Future[None] = Future()
        self._flushes.append(future)
        return self._wake_for(future)

    def _wake_for(self, future: Future[Any]) -> Future[Any]:
        if not self.running:
            future.cancel()
        self._wake.set()
        return future

    def _run(self) -> None:
        try:
            while not self._stopping:
                if not self._backlog():
                    self._wake.wait(CYCLE_SECONDS)
                    self._wake.clear()
                self._cycle()
            self._cycle()
        except BaseException as error:
            self._error = error
            raise
        finally:
            for future in [*(future for _, future in self._commands), *self._flushes]:
                future.cancel()

    def _backlog(self) -> bool:
        return bool(self._queue) and self._queue[0][0] <= time.time()

    def _cycle(self) -> None:
        flushes = [self._flushes.popleft() for _ in range(len(self._flushes))]
        fresh = [self._accepted.popleft() for _ in range(len(self._accepted))]
        for change in fresh:
            self._enqueue(change)
        commands = [self._commands.popleft() for _ in range(len(self._commands))]
        if fresh or commands or self._backlog() or self._meter.dirty:
            self._transact(fresh, commands)
        while flushes and self._queue:
            self._transact([], [], everything=True)
        if self._scrub_at_seconds is not None and (flushes or self._is_time_to_scrub()):
            # If a reader blocks the scrub, try again after the same delay.
            self._scrub_at_seconds = None if scrub(self._connection) else time.time() + SCRUB_SECONDS
        for future in flushes:
            future.set_result(None)

    def _is_time_to_scrub(self) -> bool:
        return self._stopping or (self._scrub_at_seconds or 0.0) <= time.time()

    def _transact(
        self,
        fresh: list[Change],
        commands: list[tuple[Callable[[sqlite3.Connection], Any], Future[Any]]],
        *,
        everything: bool = False,
    ) -> None:
        now_seconds = time.time()
        due = self._take_due(float("inf") if everything else now_seconds)
        self._connection.execute("BEGIN IMMEDIATE")
        tally = apply_changes(self._connection, due, now_seconds, self.rules)
        self._meter.add(tally)
        self._forget(due)
        self._journal(fresh, due)
        results = [(future, *_outcome(command, self._connection)) for command, future in commands]
        self._save_state()
        self._connection.execute("COMMIT")
        for future, result, error in results:
            future.set_exception(error) if error else future.set_result(result)
        self.on_deleted(tally.deleted)
        if any(change.kind == "delete" for change in due) and self._scrub_at_seconds is None:
            self._scrub_at_seconds = now_seconds + SCRUB_SECONDS

    def _enqueue(self, change: Change) -> None:
        heapq.heappush(self._queue, (change.due_seconds, next(self._serial), change))

    def _take_due(self, until_seconds: float) -> list[Change]:
        due: list[Change] = []
        while self._queue and self._queue[0][0] <= until_seconds and len(due) < CHANGES_PER_CYCLE:
            due.append(heapq.heappop(self._queue)[2])
        return due

    def _journal(self, fresh: list[Change], due: list[Change]) -> None:
        applied = {id(change) for change in due}
        waiting = [change for change in fresh if id(change) not in applied]
        for change in waiting:
            change.journal_id = next(self._journal_ids)
        self._connection.executemany(
            "INSERT INTO pending (due, kind, payload, id) VALUES (?, ?, ?, ?)",
            [(change.due_seconds, change.kind, change.payload, change.journal_id) for change in waiting],
        )

    def _forget(self, applied: list[Change]) -> None:
        self._connection.executemany(
            "DELETE FROM pending WHERE id = ?",
            [(change.journal_id,) for change in applied if change.journal_id is not None],
        )

    def _save_state(self) -> None:
        self._meter.dirty = False
        self._save(_METER, self._meter.report())
        if self.rules.dirty:
            self.rules.dirty = False
            self._save(_TYPES, self.rules.types)

    def _save(self, key: str, value: Any) -> None:
        self._connection.execute(
            "INSERT INTO state (key, value) VALUES (?, ?)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, msgspec.json.encode(value)),
        )


def _outcome(
    command: Callable[[sqlite3.Connection], Any], connection: sqlite3.Connection
) -> tuple[Any, sqlite3.Error | None]:
    try:
        return command(connection), None
    except sqlite3.Error as error:
        return None, error
