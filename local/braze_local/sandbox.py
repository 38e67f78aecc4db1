"""Hold the state of one workspace: settings, API keys, faults, limits, meter, request log and database."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections import deque
from collections.abc import Iterable
from typing import IO, Any

import msgspec

from braze_local.applier import Change, Kind, apply_changes
from braze_local.faults import FaultQueue
from braze_local.limits import Limiter
from braze_local.meter import Meter
from braze_local.profiles import timestamp
from braze_local.settings import Adjustments, Settings
from braze_local.store import Catalog, Json, Reader, claim, connect
from braze_local.wire import Request, Response, message
from braze_local.writer import Writer

# The number of requests in the log.
LOG_LENGTH = 1_000
_LOG_FIELDS = ("method", "path", "status", "objects", "bytes")


class Keys:
    """Check REST API keys and their permissions; None means all permissions.

    https://www.braze.com/docs/api/basics#rest-api-key
    """

    def __init__(self, permissions_by_key: dict[str, frozenset[str] | None], *, echo: bool = False) -> None:
        self._permissions_by_header = {
            f"Bearer {key}".encode(): permissions for key, permissions in permissions_by_key.items()
        }
        self._echo = echo

    @classmethod
    def parse(cls, texts: Iterable[str], *, echo: bool = False) -> Keys:
        """Read keys written as ``KEY`` or ``KEY:permission,permission``; `echo` as for `refusal`."""
        parsed: dict[str, frozenset[str] | None] = {}
        for text in texts:
            key, colon, names = text.partition(":")
            parsed[key] = frozenset(filter(None, names.split(","))) if colon else None
        return cls(parsed, echo=echo)

    def refusal(self, request: Request, permission: str) -> Response | None:
        """Return the 401 or 403 of a request, or None.

        With `echo`, the 401 repeats the key, as observed with Braze, to test that a client does not log it.
        """
        header = request.headers.get(b"authorization", b"")
        if header not in self._permissions_by_header:
            sent = header.removeprefix(b"Bearer ").decode("latin-1")
            return message(401, f"Invalid API key: {sent}" if self._echo else "Invalid API key")
        permissions = self._permissions_by_header[header]
        if permissions is not None and permission not in permissions:
            return message(403, "Access Denied")
        return None


class RequestLog:
    """Hold the latest requests to Braze's paths, without bodies, queries and keys."""

    def __init__(self) -> None:
        self._entries: deque[tuple[float, str, str, str, int, int]] = deque(maxlen=LOG_LENGTH)

    def add(self, method: str, path: str, outcome: str, objects: int, received_bytes: int) -> None:
        """Add one request; `outcome` is its status or the fault's kind."""
        self._entries.append((time.time(), method, path, outcome, objects, received_bytes))

    def latest(self, limit: int = LOG_LENGTH) -> list[dict[str, Any]]:
        """Return the latest requests, newest first."""
        entries = list(self._entries)[-limit:] if limit else []
        return [
            {"time": timestamp(at), **dict(zip(_LOG_FIELDS, rest, strict=True))}
            for at, *rest in reversed(entries)
        ]


class Sandbox:
    """Hold the state that the endpoints, the control API and the pages share.

    Raises DataDirectoryInUseError when another server holds the data directory.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # The keys of identifiers known to exist, applied or pending.
        self._known_ids: set[str] = set()
        self._lock: IO[str] = claim(settings.data)
        self.meter = Meter(count_writes=settings.count_writes)
        self.writer = Writer(connect(settings.data), self.meter)
        self.writer.rules.configure(settings.type_locks, settings.blocklist)
        self.writer.on_deleted = self._known_ids.difference_update
        self.writer.start()
        self.reader = Reader(connect(settings.data))
        self.keys = Keys.parse(settings.keys, echo=settings.echo_invalid_key)
        self.limiter = _limiter(settings)
        # Repeatable draws, not secrets.
        self._draws = random.Random(settings.reorder_seed)  # ruff: ignore[suspicious-non-cryptographic-random-usage]
        self.faults = FaultQueue()
        self.log = RequestLog()
        self.catalogs: dict[str, Catalog] = {}
        self.reload_catalogs()

    def close(self) -> None:
        """Write accepted changes to disk and unlock the data directory."""
        self.writer.stop()
        self._lock.close()

    def accept(self, kind: Kind, payload: bytes, delay_seconds: float = 0.0) -> None:
        """Accept a change that becomes visible after the apply delay plus `delay_seconds`."""
        settings = self.settings
        apply_seconds = settings.apply_delay_seconds
        if kind == "items" and settings.catalog_delay_seconds is not None:
            apply_seconds = settings.catalog_delay_seconds
        if settings.reorder_probability and self._draws.random() < settings.reorder_probability:
            delay_seconds += self._draws.uniform(0, settings.reorder_seconds)
            self.meter.count_reordered()
        self.writer.accept(Change(time.time() + apply_seconds + delay_seconds, kind, payload))

    async def import_profiles(self, people: list[Json]) -> None:
        """Apply attributes objects at once, without costs and limits, as Braze's CSV import."""
        now_seconds = time.time()
        change = Change(now_seconds, "track", msgspec.json.encode({"attributes": people}))

        def command(connection: sqlite3.Connection) -> None:
            apply_changes(connection, [change], now_seconds, self.writer.rules)

        await asyncio.wrap_future(self.writer.run(command))

    def adjust(self, adjustments: Adjustments) -> None:
        """Change settings of the running server. Raises ValueError."""
        before, self.settings = self.settings, adjustments.apply(self.settings)
        now = self.settings
        if (now.dialect, now.windows, now.window_kind) != (
            before.dialect,
            before.windows,
            before.window_kind,
        ):
            self.limiter = _limiter(now)
        self.writer.rules.configure(now.type_locks, now.blocklist)
        self.meter.count_writes = now.count_writes

    def reload_catalogs(self) -> None:
        """Read the catalog definitions again after a catalog was created or deleted."""
        self.catalogs = {catalog.name: catalog for catalog in self.reader.catalogs()}

    def register_users(self, keys: Iterable[str]) -> None:
        """Record identifiers that accepted requests create."""
        self._known_ids.update(keys)

    def unknown_users(self, identified: dict[str, Json]) -> set[str]:
        """Return the keys of the users that neither exist nor are registered.

        :param identified: an object that names the user, by its key.
        """
        candidates = identified.keys() - self._known_ids
        if candidates:
            by_external_id = {key for key in candidates if "external_id" in identified[key]}
            self._known_ids |= self.reader.existing(by_external_id)
            # An address may move to another profile, so that it is looked up each time.
            others = [identified[key] for key in candidates - by_external_id]
            candidates = candidates - self._known_ids - self.reader.existing_others(others)
        return candidates


def _limiter(settings: Settings) -> Limiter:
    return Limiter(settings.dialect, settings.windows, kind=settings.window_kind)
