"""Erase people from every object of the programs over the data, and update the manifests.

Each object that may name one of them is read once, however many people are erased. The object index says which objects
cannot name them; a retry after a kill resumes from it.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from recsync.context import StageContext
from recsync.errors import RetriableError
from recsync.experiments.store import enrolment_tables
from recsync.forget.batch import ErasureBatch, read_batch
from recsync.forget.erasure_rules import Redaction, area_of, redaction_of
from recsync.forget.object_ids import IdHashes, ids_of_document
from recsync.forget.object_index import ObjectIndex
from recsync.forget.one_object import ErasureResult, ObjectVersion, erase_from_object
from recsync.forget.staged import StagedObjects, part_of, put_staged, update_manifests
from recsync.push.closing import close
from recsync.push.store import Deliveries, LastSent
from recsync.storage.keys import ALL_EXPERIMENTS

log = logging.getLogger(__name__)

_STEP = "objects"
_THREADS = 8
# Work that a kill may lose. Writing the index of a large bucket takes a while: spend at most a tenth of the time on it.
_SECONDS_BETWEEN_SAVES = 60.0
_SAVES = 10
# An object that another run writes again and again is staged again.
_ROUNDS = 5


@dataclass
class Counts:
    """Objects checked and rows removed so far.

    :param people: request name -> objects and rows by area of the bucket.
    :param swapped: staged objects that are counted already, in case a retry meets them again.
    """

    looked_at: int = 0
    read: int = 0
    read_bytes: int = 0
    rewritten: int = 0
    manifests: int = 0
    people: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    swapped: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, document: dict[str, Any] | None) -> Self:
        """Read it back; a run that began before batches counted one person only."""
        return cls(**document) if document and "people" in document else cls()

    def add(self, area: str, removed: Mapping[str, int]) -> None:
        """Count the rows that one object lost."""
        self.rewritten += 1
        for name, rows in removed.items():
            of_person = self.people.setdefault(name, {"objects": {}, "rows": {}})
            of_person["objects"][area] = of_person["objects"].get(area, 0) + 1
            of_person["rows"][area] = of_person["rows"].get(area, 0) + rows

    def totals(self) -> dict[str, Any]:
        """Return the sums over all people, without request names."""
        rows: Counter[str] = Counter()
        for of_person in self.people.values():
            rows.update(of_person["rows"])
        figures = ("looked_at", "read", "read_bytes", "rewritten", "manifests")
        return {**{name: getattr(self, name) for name in figures}, "rows": dict(rows)}


def erase_objects(program_name: str, name: str) -> dict[str, Any]:
    """Rewrite every object that names one of the people. Cleaned exports are staged, not replaced yet.

    Needs no lock: trainings read none of the objects that it replaces.

    :returns: :meth:`Counts.totals`.
    """
    batch = read_batch(program_name, name)
    for each in batch.context.over_data:
        _close_delivery(each, batch.name)
    sweep = Sweep(batch)
    sweep.run()
    return sweep.counts.totals()


def replace_exports(program_name: str, name: str, *, again: bool = False) -> dict[str, Any]:
    """Replace exports by their staged versions, update manifests, and sweep objects written since the first sweep.

    Needs the lock of the dataset group. A second call, after the deletion job, erases what runs from before the
    suppression wrote meanwhile.

    :param again: this is the second call: manifests are read only if an export was replaced.
    """
    batch = read_batch(program_name, name)
    sweep = Sweep(batch)
    for _ in range(_ROUNDS):
        sweep.run()
        if sweep.swap(manifests=not again):
            return sweep.counts.totals()
    raise RetriableError(
        f"Other runs rewrote exports of {program_name} in each of {_ROUNDS} rounds. Clear this task when they ended."
    )


def _close_delivery(context: StageContext, batch: str) -> None:
    """Close an unfinished delivery, so that its results are in the last-sent state before that is rewritten."""
    state, _ = context.store(LastSent).read()
    if state.open_delivery:
        plan = context.store(Deliveries).plan(state.open_delivery)
        close(context, plan, by=f"forget-{batch}-{datetime.now(UTC):%Y%m%dT%H%M%S}")


class Sweep:
    """Erase the people of a batch from the objects of all programs over the data.

    :ivar counts: of the run, over all its tries.
    """

    def __init__(self, batch: ErasureBatch) -> None:
        self._batch = batch
        self._owner = batch.context
        probes = batch.people.probes
        self._indexes = {
            each.program.name: ObjectIndex(each.bucket, each.keys.erasure_index, probes, batch.mark)
            for each in batch.context.over_data
        }
        self._staged = StagedObjects(batch)
        self.counts = Counts.of(batch.steps().get(_STEP))
        self._present: set[str] = set()
        self._saved_at, self._seconds = time.monotonic(), 0.0

    def run(self) -> None:
        """Read the objects that may name one of the people, and replace or stage them."""
        listed, staged = self._list(), self._staged.parts()
        wanted = [
            one
            for one in listed
            if self._index(one.key).may_hold(one.key, one.etag) and part_of(one.key, one.etag) not in staged
        ]
        self.counts.looked_at = max(self.counts.looked_at, len(listed))
        log.info(
            "Batch %s: %d of %d objects may name one of %d people, %.1f MB.",
            self._batch.name, len(wanted), len(listed), len(self._batch.requests),
            sum(one.size_bytes for one in wanted) / 1e6,
        )  # fmt: skip
        bucket, people, put = self._owner.bucket, self._batch.people, put_staged(self._batch)
        with ThreadPoolExecutor(_THREADS) as threads:
            for number, result in enumerate(
                threads.map(lambda one: erase_from_object(bucket, one, people, put), wanted), 1
            ):
                self._record(result)
                if time.monotonic() - self._saved_at > max(_SECONDS_BETWEEN_SAVES, _SAVES * self._seconds):
                    log.info("Batch %s: %d of %d objects are read.", self._batch.name, number, len(wanted))
                    self.save()
        self.save()

    def swap(self, *, manifests: bool) -> bool:
        """Put staged objects in place and update the manifests.

        :param manifests: update them even if nothing is staged, for a retry after a kill.
        :returns: False if another run rewrote some of the originals: sweep again.
        """
        staged = self._staged.read()
        swapped = self._staged.swap_all(staged)
        if staged or manifests:
            self.counts.manifests += update_manifests(self._owner, swapped, self._record_manifest)
        for one in swapped:
            if one.part not in self.counts.swapped:
                self.counts.add(self._area(one.key), one.removed)
            self._index(one.key).move(self._batch.staged_key(one.part), one.key, one.etag)
        # Saved before they are deleted, so that a retry after a kill counts none twice.
        self.counts.swapped = [one.part for one in swapped]
        self.save()
        self._staged.delete_all()
        return len(swapped) == len(staged)

    def save(self) -> None:
        """Write the indexes and the counts, so that a retry goes on from here."""
        began = time.monotonic()
        for index in self._indexes.values():
            index.save(self._present)
        self._batch.record_step(_STEP, asdict(self.counts))
        self._saved_at = time.monotonic()
        self._seconds = self._saved_at - began

    def _list(self) -> list[ObjectVersion]:
        bucket, names = self._owner.bucket, list(self._indexes)
        entries = {entry["Key"]: entry for name in names for entry in bucket.listed(f"{name}/")}
        tables = set(enrolment_tables(self._owner, names))
        of_tables = bucket.listed(ALL_EXPERIMENTS) if tables else ()
        entries |= {entry["Key"]: entry for entry in of_tables if entry["Key"] in tables}
        self._present = set(entries)
        redactions = {
            key: Redaction.TABLE if key in tables else redaction_of(key.split("/", 1)[0], key)
            for key in entries
        }
        return [
            ObjectVersion(key, entries[key]["ETag"], entries[key]["Size"], redaction)
            for key, redaction in redactions.items()
            if redaction
        ]

    def _record(self, result: ErasureResult) -> None:
        found = result.version
        if found is None:
            return
        self.counts.read += 1
        self.counts.read_bytes += found.size_bytes
        key = found.key
        if result.removed and found.redaction is Redaction.ROWS:
            key = self._batch.staged_key(part_of(found.key, found.etag))
        elif result.removed:
            self.counts.add(self._area(key), result.removed)
        if result.etag:
            self._index(found.key).put(key, result.etag, result.ids)
            self._present.add(key)

    def _record_manifest(self, key: str, etag: str, body: bytes) -> None:
        """Index a manifest that was just updated, so that the next sweep need not read it."""
        found = IdHashes(self._batch.people.probes)
        ids_of_document(body, found)
        if not found.is_hit:
            self._index(key).put(key, etag, found.hashes())

    def _index(self, key: str) -> ObjectIndex:
        return self._indexes.get(key.split("/", 1)[0], self._indexes[self._owner.program.name])

    def _area(self, key: str) -> str:
        """Return the area that the certificate counts an object under, with the program unless it is the owner."""
        if key.startswith(ALL_EXPERIMENTS):
            return "experiments"
        program = key.split("/", 1)[0]
        area = area_of(program, key)
        return area if program == self._owner.program.name else f"{program}/{area}"
