"""Stage exports without the people beside the originals, and replace the originals under the lock.

A training reads rows by manifests, and their ETags and digests must not change meanwhile. The lock of the dataset group
keeps trainings waiting, so the slow work is done before: under the lock, objects are only copied.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from recsync.context import StageContext
from recsync.export.manifest import ExportedObject, Manifest
from recsync.export.store import ExportStore
from recsync.forget.batch import ErasureBatch
from recsync.forget.erasure_rules import Redaction
from recsync.forget.one_object import CONDITIONAL_BYTES, ObjectVersion, Put, blocks_of, put_directly, upload
from recsync.imports.dataset_state import DatasetState
from recsync.imports.store import ImportStore
from recsync.program import DatasetType
from recsync.storage.bucket import Bucket
from recsync.storage.csv_text import records

log = logging.getLogger(__name__)
# Trainings wait meanwhile; requests are small.
_THREADS = 16
_NOTE = ".json"


@dataclass(frozen=True)
class Staged:
    """A cleaned copy of one version of an exported object.

    :param key: of the exported object.
    :param base: ETag of that version.
    :param etag: of the staged object, and of the exported one once it is replaced.
    :param rows: without the header.
    :param digest: as in a manifest.
    :param removed: rows by request name.
    """

    key: str
    base: str
    etag: str
    rows: int
    size_bytes: int
    digest: str
    removed: dict[str, int]

    @property
    def part(self) -> str:
        """The key of the staged object below the batch's."""
        return part_of(self.key, self.base)


def part_of(key: str, base: str) -> str:
    """Return the key, below the batch's, of the cleaned copy of one version of an object."""
    return f"{base.strip(chr(34))}/{key}"


def put_staged(batch: ErasureBatch) -> Put:
    """Return a function that writes exported rows beside the original, and all else in its place."""
    directly = put_directly(batch.context.bucket)

    def put(version: ObjectVersion, path: Path, removed: Counter[str]) -> str | None:
        if version.redaction is not Redaction.ROWS:
            return directly(version, path, removed)
        key = batch.staged_key(part_of(version.key, version.etag))
        etag = upload(batch.context.bucket, key, path)
        with path.open("rb") as file:
            rows, size, digest = described(blocks_of(file))
        note = Staged(version.key, version.etag, etag, rows, size, digest, dict(removed))
        batch.context.bucket.put_json(f"{key}{_NOTE}", asdict(note))
        return etag

    return put


def described(blocks: Iterable[bytes]) -> tuple[int, int, str]:
    """Return rows, bytes and digest of an object; the digest is of its bytes, so the next export compares its rows."""
    # The header is no row; every record ends with a line feed.
    digest, rows, size = hashlib.blake2b(digest_size=16), -1, 0
    for lines in records(blocks):
        rows += len(lines)
        size += sum(len(line) + 1 for line in lines)
        for line in lines:
            digest.update(line + b"\n")
    return max(rows, 0), size, digest.hexdigest()


@dataclass(frozen=True)
class StagedObjects:
    """The staged objects of a batch."""

    batch: ErasureBatch

    @property
    def _bucket(self) -> Bucket:
        return self.batch.context.bucket

    def read(self) -> list[Staged]:
        """Read the descriptions of all staged objects."""
        folder = self.batch.staged_key("")
        notes = [key for key in self._bucket.keys(folder) if key.endswith(f".csv{_NOTE}")]
        with ThreadPoolExecutor(_THREADS) as threads:
            return [Staged(**found) for found in threads.map(self._bucket.get_json, notes) if found]

    def parts(self) -> set[str]:
        """Return the :attr:`Staged.part` of each staged object."""
        folder = self.batch.staged_key("")
        keys = self._bucket.keys(folder)
        return {key.removeprefix(folder).removesuffix(_NOTE) for key in keys if key.endswith(f".csv{_NOTE}")}

    def swap(self, one: Staged) -> Staged | None:
        """Replace the version that a staged object was made from; a retry after a kill does no harm.

        :returns: it with the new ETag of the exported object; None when another run rewrote that meanwhile.
        """
        source = self.batch.staged_key(one.part)
        if one.size_bytes <= CONDITIONAL_BYTES:
            # Returns the ETag, too, if an earlier try wrote the same bytes.
            etag = self._bucket.put_if(one.key, self._bucket.get(source) or b"", etag=one.base)
        else:
            etag = self._bucket.etag(one.key)
            if etag == one.base:
                self._bucket.copy(source, one.key)
                etag = self._bucket.etag(one.key)
            elif etag != one.etag:
                return None
        if etag is None:
            return None
        swapped = replace(one, etag=etag)
        if swapped != one:
            # A copy in parts has another ETag; a retry after a kill recognises the object by it.
            self._bucket.put_json(f"{source}{_NOTE}", asdict(swapped))
        return swapped

    def swap_all(self, staged: Iterable[Staged]) -> list[Staged]:
        """Replace the originals of staged objects; return those that were replaced."""
        with ThreadPoolExecutor(_THREADS) as threads:
            return [one for one in threads.map(self.swap, staged) if one]

    def delete_all(self) -> None:
        """Delete all staged objects: they are in place, or another run rewrote the originals."""
        self._bucket.delete_all(self._bucket.keys(self.batch.staged_key("")))


OnUpdated = Callable[[str, str, bytes], None]
"""Called with the key, the new ETag and the content of each updated manifest."""


def update_manifests(
    context: StageContext, swapped: Iterable[Staged] = (), on_updated: OnUpdated = lambda *_: None
) -> int:
    """Publish rewritten objects again, and update the import state.

    :param swapped: objects with known rows, bytes and digests; other rewritten objects are read.
    :returns: how many manifests were updated.
    """
    keys, known = context.keys, {(one.key, one.etag): one for one in swapped}
    folders = (f"{keys.program}/exports/", keys.all_full, keys.all_imports)
    etags = {entry["Key"]: entry["ETag"] for folder in folders for entry in context.bucket.listed(folder)}
    digests: dict[str, str] = {}
    updater = _Manifests(context, etags, known, digests, on_updated)
    manifests = [
        key
        for key in etags
        if key.startswith(keys.export_manifests)
        or (key.startswith(keys.all_full) and key.endswith("/manifest.json"))
    ]
    with ThreadPoolExecutor(_THREADS) as threads:
        updated = sum(threads.map(updater.update, manifests))
    context.store(ImportStore).change(lambda state: _with_new_digests(state, etags, digests))
    return updated


@dataclass(frozen=True)
class _Manifests:
    """Updates the manifests of a program to the objects on S3.

    :param etags: object key -> ETag.
    :param known: (key, ETag) -> replaced object.
    :param digests: filled: former digest -> new digest.
    """

    context: StageContext
    etags: Mapping[str, str]
    known: Mapping[tuple[str, str], Staged]
    digests: dict[str, str]
    on_updated: OnUpdated

    def update(self, key: str) -> bool:
        """Publish the objects of one manifest again, if one was rewritten."""
        bucket = self.context.bucket
        body, etag = bucket.get_with_etag(key)
        if body is None:
            return False
        manifest = Manifest.from_json(json.loads(body))
        objects = dict(manifest.objects)
        for kind, exported in manifest.objects.items():
            present = self.etags.get(exported.key, exported.etag)
            if exported.etag and present != exported.etag:
                objects[kind] = self._described(exported, present)
                self.digests[exported.digest] = objects[kind].digest
        if objects == manifest.objects:
            return False
        document = json.dumps(
            Manifest(manifest.interval, objects).to_json(), indent=1, sort_keys=True
        ).encode()
        if (new := bucket.put_if(key, document, etag=etag)) is not None:
            self.on_updated(key, new, document)
        else:
            log.info(
                "An export published %s just now, without the people: it needs no update.", bucket.uri(key)
            )
        return True

    def _described(self, exported: ExportedObject, etag: str) -> ExportedObject:
        one = self.known.get((exported.key, etag))
        rows, size, digest = (
            (one.rows, one.size_bytes, one.digest)
            if one
            else described(self.context.store(ExportStore).blocks(exported.key, etag))
        )
        return replace(exported, etag=etag, rows=rows, size_bytes=size, digest=digest)


def _with_new_digests(
    state: DatasetState, etags: Mapping[str, str], digests: Mapping[str, str]
) -> DatasetState:
    """Refer to the rewritten objects: their rows are what the datasets hold after the deletion."""
    full = {}
    for kind, last in state.full.items():
        etag = etags.get(last.snapshot, last.etag) if last.etag else last.etag
        full[kind] = replace(last, etag=etag, digest=digests.get(last.digest, last.digest))
    intervals = {
        key: {DatasetType(kind).value: digests.get(one, one) for kind, one in known.items()}
        for key, known in state.intervals.items()
    }
    return replace(state, full=full, intervals=intervals)
