"""Put the parts of one server together and take them down again."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import IO

from braze_local.auth import Keys
from braze_local.changes import Change, Kind
from braze_local.faults import Faults
from braze_local.limits import Limiter
from braze_local.meter import Meter
from braze_local.reader import Catalog, Reader
from braze_local.request_log import RequestLog
from braze_local.settings import Settings
from braze_local.store import claim, connect
from braze_local.writer import Writer


class Sandbox:
    """Hold one workspace: what its endpoints, its control API and its pages share.

    Raises DataDirectoryInUseError when another server holds the data directory.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock: IO[str] = claim(settings.data)
        self.meter = Meter()
        self.writer = Writer(connect(settings.data), self.meter)
        self.writer.start()
        self.reader = Reader(connect(settings.data))
        self.keys = Keys.parse(settings.keys, echo=settings.echo_invalid_key)
        self.limiter = Limiter(settings.dialect, settings.windows)
        self.faults = Faults()
        self.log = RequestLog()
        self.catalogs: dict[str, Catalog] = {}
        self.reload_catalogs()
        # Every external_id that is known to exist, applied or on its way; profiles are never deleted.
        self._known_ids: set[str] = set()

    def close(self) -> None:
        """Put everything accepted on disk and give the data directory up."""
        self.writer.stop()
        self._lock.close()

    def accept(self, kind: Kind, payload: bytes) -> None:
        """Take a change that becomes visible after the apply delay."""
        self.writer.accept(Change(time.time() + self.settings.apply_delay_seconds, kind, payload))

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
