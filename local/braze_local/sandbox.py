"""Put the parts of one server together and take them down again."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from typing import IO

from braze_local.auth import Keys
from braze_local.changes import Change, Kind
from braze_local.fault_queue import Faults
from braze_local.limits import Limiter
from braze_local.meter import Meter
from braze_local.reader import Catalog, Reader
from braze_local.request_log import RequestLog
from braze_local.settings import Adjustments, Settings
from braze_local.store import claim, connect
from braze_local.writer import Writer


class Sandbox:
    """Hold one workspace: what its endpoints, its control API and its pages share.

    Raises DataDirectoryInUseError when another server holds the data directory.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # Every external_id that is known to exist, applied or on its way.
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
        self.faults = Faults()
        self.log = RequestLog()
        self.catalogs: dict[str, Catalog] = {}
        self.reload_catalogs()

    def close(self) -> None:
        """Put everything accepted on disk and give the data directory up."""
        self.writer.stop()
        self._lock.close()

    def accept(self, kind: Kind, payload: bytes, delay_seconds: float = 0.0) -> None:
        """Take a change that becomes visible after the apply delay, and so much later."""
        settings = self.settings
        apply_seconds = settings.apply_delay_seconds
        if kind == "items" and settings.catalog_delay_seconds is not None:
            apply_seconds = settings.catalog_delay_seconds
        if settings.reorder_probability and self._draws.random() < settings.reorder_probability:
            delay_seconds += self._draws.uniform(0, settings.reorder_seconds)
            self.meter.count_reordered()
        self.writer.accept(Change(time.time() + apply_seconds + delay_seconds, kind, payload))

    def adjust(self, adjustments: Adjustments) -> None:
        """Change settings of the running server. Raises ValueError."""
        before, self.settings = self.settings, adjustments.over(self.settings)
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
        """Read the catalogues' definitions again, after one was created or deleted."""
        self.catalogs = {catalog.name: catalog for catalog in self.reader.catalogs()}

    def expect(self, external_ids: Iterable[str]) -> None:
        """Note users that accepted requests create."""
        self._known_ids.update(external_ids)

    def unknown(self, external_ids: set[str]) -> set[str]:
        """Return those of the users that neither exist nor are being created."""
        candidates = external_ids - self._known_ids
        if candidates:
            self._known_ids |= self.reader.existing(candidates)
        return external_ids - self._known_ids


def _limiter(settings: Settings) -> Limiter:
    return Limiter(settings.dialect, settings.windows, kind=settings.window_kind)
