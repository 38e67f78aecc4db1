"""Follow S3 in a process of its own: build a store of each new publication, and drop erased people at once.

``python -m recommendations.updates`` is started by ``python -m recommendations``, and again when it ends.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import sys
import time
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from braze_client.payloads import dumps
from recommendations import metrics
from recommendations.publication import Folder, replace_file
from recommendations.settings import FIELDS, Settings
from recommendations.store import Store, write_store
from recsync.errors import FatalError, RecsyncError, UnexpectedError
from recsync.program import Program
from recsync.recommend.store import RecommendationsStore
from recsync.storage.aws import aws_client
from recsync.storage.bucket import Bucket
from recsync.storage.duck import modest_allocator
from recsync.storage.keys import Keys
from recsync.suppression.store import Suppression, SuppressionStore

log = logging.getLogger(__name__)

# A store of another layout is built anew.
_FORMAT = 1
_NICENESS = 5


class ProgramUpdater:
    """What is on the disk for one program, and the objects on S3 that it follows."""

    def __init__(self, settings: Settings, program: Program, client: Any) -> None:
        """Delete what a killed updater left."""
        self._program, self._settings = program, settings.of(program.name)
        self._bucket = Bucket(client, settings.bucket_of(program), program.aws)
        keys, owner = Keys(program.name), Keys(program.data_owner.name)
        self._keys, self._store = keys, RecommendationsStore(self._bucket, keys)
        # Programs over the data of another one leave out the people of both lists.
        self._lists = [SuppressionStore(self._bucket, each) for each in dict.fromkeys((keys, owner))]
        self.folder = Folder(settings.data / program.name)
        self.folder.stores.mkdir(parents=True, exist_ok=True)
        self._suppression = Suppression()
        self._etags: list[str | None] = [None for _ in self._lists]
        self._is_checked = False
        with suppress(OSError, KeyError, ValueError):
            self._suppression, etags = self.folder.read_suppression()
            if len(etags) == len(self._lists):
                self._etags, self._is_checked = etags, True
        self._version = self._read_version()
        self._sweep()

    def check_suppression(self) -> bool:
        """Read the suppression lists if they changed.

        :returns: whether they changed.
        :raises FatalError: when a list that was there is gone, which is never taken for an empty one.
        """
        etags = [self._bucket.etag(each.keys.state("suppression.json")) for each in self._lists]
        for each, known, now in zip(self._lists, self._etags, etags, strict=True):
            if known and now is None:
                raise FatalError(
                    f"{self._bucket.uri(each.keys.state('suppression.json'))} is gone, and the people in it stay "
                    "suppressed here. Restore it."
                )
        changed = not self._is_checked or etags != self._etags
        if changed:
            # Read after the ETags: what is added in between is read again at the next look.
            lists = [each.read() for each in self._lists]
            self.folder.write_suppression(lists, etags)
            self._suppression = replace(lists[0], also=lists[1]) if lists[1:] else lists[0]
            self._etags, self._is_checked = etags, True
        self.folder.checked.touch()
        metrics.CHECKED.labels(self._program.name).set_to_current_time()
        return changed

    def check_publication(self) -> bool:
        """Build a store if there is a newer publication, or if the current one holds people who are suppressed now.

        :returns: whether the store was replaced.
        :raises RecsyncError: when the publication cannot be read; the current store stays.
        """
        run = self._store.latest_run()
        if run is None:
            if self._version:
                raise FatalError(
                    f"{self._bucket.uri(self._keys.all_recommendations)} has no publication any more; the last one is "
                    f"still served. Run {self._program.name}_recommend, or take the program out of the service."
                )
            return False
        version = self._version_of(run)
        if version == self._version:
            return False
        try:
            self._build(run, version)
        except Exception:
            metrics.BUILDS.labels(self._program.name, "failed").inc()
            raise
        metrics.BUILDS.labels(self._program.name, "built").inc()
        return True

    def _version_of(self, run: str) -> str:
        """Name everything that a store depends on: objects change when a run is cleared or a person is erased."""
        prefix = self._keys.recommendations(run)
        found = sorted((each["Key"], each["ETag"]) for each in self._bucket.listed(prefix))
        objects = [pair for pair in found if pair[0].endswith((".parquet", "/manifest.json"))]
        length = self._program.recommendations.length if self._program.recommendations.fallback else 0
        parts = [_FORMAT, objects, self._etags, self._settings.fields, length]
        return hashlib.sha256(dumps(parts)).hexdigest()

    def _build(self, run: str, version: str) -> None:
        started, policy = time.monotonic(), self._program.recommendations
        manifest = self._store.manifest(run)
        with TemporaryDirectory(prefix="work-", dir=self.folder.path) as name:
            work = Path(name)
            catalog = self._store.download(run, work / "lists.parquet")
            audience = self._store.download_audience(run, work / "audience.parquet")
            (work / "sort").mkdir()
            meta = write_store(
                work / "store",
                work / "lists.parquet",
                audience,
                catalog,
                fields=self._settings.fields,
                default_fields=FIELDS,
                suppression=self._suppression,
                fallback_length=policy.length if policy.fallback else 0,
                meta={
                    "version": version,
                    "run": run,
                    "created_at": manifest.created_at,
                    "identifier": manifest.identifier,
                    "held_out": list(manifest.held_out),
                    # What the campaign recommends now is the champion's, whatever the person's arm gets.
                    "without_live": [
                        arm
                        for arm in manifest.arms
                        if manifest.versions.get(arm) != manifest.solution_version_arn
                    ],
                },
                work=work / "sort",
            )
            # The run may have been cleared, or a person erased, while it was read.
            if self._version_of(run) != version:
                log.info(
                    "Program %s: run %s changed while it was read; reading it again.", self._program.name, run
                )
                return
            place = self.folder.stores / f"{run}-{version[:12]}"
            shutil.rmtree(place, ignore_errors=True)
            (work / "store").rename(place)
        replace_file(self.folder.current, place.name)
        self._version = version
        self._sweep()
        metrics.CREATED.labels(self._program.name).set(
            datetime.fromisoformat(manifest.created_at).timestamp()
        )
        log.info(
            "Program %s: run %s is served now, %d people and %d items, built in %.1f s.",
            self._program.name, run, meta["people"], meta["items"], time.monotonic() - started,
        )  # fmt: skip

    def _read_version(self) -> str:
        """Return the version of the store on the disk; empty without one that can be opened."""
        try:
            place = self.folder.current_store()
            if place is None:
                return ""
            store = Store(place)
        except (FatalError, OSError) as error:
            log.warning("Program %s: %s It is built anew.", self._program.name, error)
            return ""
        version = str(store.meta["version"])
        created = datetime.fromisoformat(store.meta["created_at"]).timestamp()
        store.close()
        metrics.CREATED.labels(self._program.name).set(created)
        return version

    def _sweep(self) -> None:
        """Delete every store but the current one. Workers that still read an older one keep it until they switch."""
        current = self.folder.current_store()
        for place in [*self.folder.stores.iterdir(), *self.folder.path.glob("work-*")]:
            if place != current:
                shutil.rmtree(place, ignore_errors=True)


class Updater:
    """The updaters of all programs."""

    def __init__(self, settings: Settings, client: Any = None) -> None:
        """Make clients of S3, and delete the data of programs that are no longer served."""
        config, self._told = settings.config, dict[str, str]()
        self._seconds, self._every = config.suppression_poll_seconds, config.publication_poll_seconds
        for place in settings.data.iterdir():
            if (place / "stores").is_dir() and place.name not in settings.names:
                shutil.rmtree(place)
        self.programs = {
            name: ProgramUpdater(settings, program, client or aws_client("s3", program.aws))
            for name, program in settings.programs.items()
        }
        self._next = dict.fromkeys(self.programs, 0.0)

    def poll(self) -> None:
        """Look at every program once."""
        for name, program in self.programs.items():
            try:
                if program.check_suppression() or time.monotonic() >= self._next[name]:
                    self._next[name] = time.monotonic() + self._every
                    program.check_publication()
                    self._told.pop(name, None)
            except Exception as error:  # ruff: ignore[blind-except] - the other programs go on
                text = str(error if isinstance(error, RecsyncError) else UnexpectedError(error))
                # Once, until it is another one or over.
                if self._told.get(name) != text:
                    self._told[name] = text
                    log.error("Program %s: %s", name, text)

    def run(self) -> None:
        """Poll until the process that started this one is gone."""
        parent = os.getppid()
        while os.getppid() == parent:
            self.poll()
            time.sleep(self._seconds)


def main() -> int:
    """Follow S3 until a signal ends the process, which it may do at any point."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # Requests come first: a build takes whole seconds of CPU.
    os.nice(_NICENESS)
    try:
        with modest_allocator():
            Updater(Settings.from_environment()).run()
    except FatalError as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
