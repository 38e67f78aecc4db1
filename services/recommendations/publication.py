"""Where the updater leaves what the workers serve, per program: the current store, and who is suppressed.

``current`` names the store; ``suppression.json`` holds the suppression lists; the time of change of ``checked`` says
when they were last compared with S3. The first two are replaced in one step.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from braze_client.identifiers import Identifier
from recommendations.store import Entry, Store
from recsync.errors import FatalError
from recsync.recommend.lists.audience import normalized_one
from recsync.suppression.store import PERSON, USER, Suppression

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Folder:
    """The files of one program."""

    path: Path

    @property
    def stores(self) -> Path:
        return self.path / "stores"

    @property
    def current(self) -> Path:
        return self.path / "current"

    @property
    def suppression(self) -> Path:
        return self.path / "suppression.json"

    @property
    def checked(self) -> Path:
        return self.path / "checked"

    def current_store(self) -> Path | None:
        """Return the folder of the current store; None before the first."""
        try:
            return self.stores / self.current.read_text()
        except FileNotFoundError:
            return None

    def read_suppression(self) -> tuple[Suppression, list[str | None]]:
        """Return the suppression lists, and the ETags under which they were read."""
        document = json.loads(self.suppression.read_text())
        own, *others = map(Suppression.from_json, document["lists"])
        return (replace(own, also=others[0]) if others else own), document["etags"]

    def write_suppression(self, lists: Sequence[Suppression], etags: Sequence[str | None]) -> None:
        document = {"lists": [each.to_json() for each in lists], "etags": list(etags)}
        replace_file(self.suppression, json.dumps(document))


def replace_file(target: Path, text: str) -> None:
    """Write a file so that readers, also after a crash, see the old text or the new one."""
    beside = target.with_name(f".{target.name}-new")
    with beside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Answer(NamedTuple):
    """The recommendations of one person.

    :param source: ``list``, ``live``, ``fallback``, or ``none`` for an empty array.
    :param items: JSON array.
    :param labels: tier and arm, as far as the publication has them.
    """

    source: str
    items: bytes
    labels: dict[str, str]


_NOTHING = Answer("none", b"[]", {})


class Publication:
    """What a worker serves of one program.

    All methods are called by one thread, and none of them waits: a request that does not wait either sees one
    publication only.
    """

    def __init__(self, program: str, folder: Folder, max_age: timedelta | None = None) -> None:
        """Open what is on the disk.

        :param max_age: how old lists may be; None: any age.
        """
        self.program, self._folder, self._max_age = program, folder, max_age
        self._stale_at = math.inf
        self.store: Store | None = None
        self._suppression: Suppression | None = None
        self._identifier = Identifier()
        self._versions: dict[str, tuple[int, int]] = {}
        self.checked_at = 0.0
        self.refresh()

    def refresh(self) -> None:
        """Open what the updater replaced since the last call; what cannot be opened leaves the old in use."""
        try:
            if self._is_new(self._folder.suppression):
                self._suppression, _ = self._folder.read_suppression()
            if self._suppression is not None:
                self.checked_at = self._folder.checked.stat().st_mtime
            if self._is_new(self._folder.current) and (place := self._folder.current_store()):
                former, self.store = self.store, Store(place)
                self._identifier = Identifier.parse(self.store.meta["identifier"])
                made = datetime.fromisoformat(self.store.meta["created_at"])
                self._stale_at = (made + self._max_age).timestamp() if self._max_age else math.inf
                if former:
                    former.close()
        except (FatalError, OSError, KeyError, ValueError) as error:
            # A store that was replaced meanwhile; or damage, which is said as often as it is met.
            self._versions.clear()
            log.warning(
                "Program %s: cannot open what is in %s (%s).",
                self.program,
                self._folder.path,
                type(error).__name__,
            )

    def close(self) -> None:
        """Close the store."""
        if self.store:
            self.store.close()
            self.store = None

    def _is_new(self, file: Path) -> bool:
        try:
            found = file.stat()
        except FileNotFoundError:
            return False
        version = (found.st_ino, found.st_mtime_ns)
        known = self._versions.get(file.name)
        self._versions[file.name] = version
        return version != known

    @property
    def is_ready(self) -> bool:
        """Return whether there is a store, and it is known who is suppressed."""
        return self.store is not None and self._suppression is not None

    @property
    def is_stale(self) -> bool:
        """Return whether the lists are older than the program allows: then nobody gets one, as in Braze."""
        return time.time() > self._stale_at

    @property
    def unchecked_seconds(self) -> float:
        """Return how long ago the suppression list was compared with S3."""
        return max(time.time() - self.checked_at, 0.0)

    def warehouse_id(self, person: str) -> str | None:
        """Return the ``user_id`` of a person for Amazon Personalize.

        :returns: None when the person is suppressed, or in an arm of an experiment that gets something else.
        """
        user, entry = self._look_up(person)
        return user if self.store and self._arm(entry) not in self.store.without_live else None

    def _arm(self, entry: Entry | None) -> str:
        if entry is None or self.store is None or not self.store.without_live:
            return ""
        return self.store.labels_of(entry).get("arm", "")

    def answer(
        self,
        person: str,
        limit: int,
        *,
        live: Sequence[str] | None = None,
        least: int = 1,
        with_labels: bool = True,
    ) -> Answer:
        """Return a person's recommendations.

        :param limit: how many items at most.
        :param live: item ids that Amazon Personalize recommended just now.
        :param least: how many of them must be in the catalog to be used.
        :param with_labels: whether to return tier and arm.
        """
        user, entry = self._look_up(person)
        if user is None or self.store is None:
            return _NOTHING
        if entry and self.store.held_out and self._arm(entry) in self.store.held_out:
            return Answer("none", b"[]", self.store.labels_of(entry) if with_labels else {})
        if live and len(places := self.store.positions(live)[:limit]) >= min(least, limit):
            return Answer("live", self.store.items(places), {})
        if self.is_stale:
            return _NOTHING
        if entry is None:
            popular = self.store.fallback[:limit]
            return Answer("fallback", self.store.items(popular), {}) if popular else _NOTHING
        labels = self.store.labels_of(entry) if with_labels else {}
        # A person of the audience without a list has nothing fit to show, as in Braze, where the attribute is missing.
        source = "list" if len(entry.positions) else "none"
        return Answer(source, self.store.items(entry.positions[:limit]), labels)

    def _look_up(self, person: str) -> tuple[str | None, Entry | None]:
        if self.store is None or self._suppression is None:
            return None, None
        if self._identifier.name == "email":
            person = normalized_one(person, self._identifier)
        entry = self.store.find(person)
        user = str(entry.user_id, "utf-8") if entry and entry.user_id else person
        hidden = self._suppression.contains(PERSON, person) or self._suppression.contains(USER, user)
        return (None, None) if hidden else (user, entry)
