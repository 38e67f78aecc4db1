"""Erase one person from every object of the programs over the data, and update the manifests.

A rewritten object is recognised by its ETag alone, so a retry after a kill updates the manifests that are still old.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from recsync.context import StageContext
from recsync.errors import RetriableError
from recsync.export.manifest import ExportedObject, Manifest
from recsync.export.report_page import page
from recsync.export.store import ExportStore
from recsync.forget import erasure_rules
from recsync.forget.erasure_rules import ERASED, Identity, Redaction, RowCounts, area_of, redaction_of
from recsync.forget.request import Erasure, read_erasure
from recsync.imports.dataset_state import DatasetState
from recsync.imports.store import ImportStore
from recsync.program import DatasetType
from recsync.push.closing import close
from recsync.push.store import Deliveries, LastSent
from recsync.recommend.lists.batch_output import unpacked
from recsync.storage.bucket import Bucket
from recsync.storage.csv_text import ByteStream, records
from recsync.storage.hashes import string_hashes
from recsync.storage.object_writer import object_writer

log = logging.getLogger(__name__)

_STEP = "objects"
_THREADS = 8
_BLOCK_BYTES = 4 * 1024 * 1024
# A run that began before the suppression may still write; it writes each object once or twice.
_TRIES = 5


def erase_objects(program_name: str, name: str, *, last_look: bool = False) -> dict[str, Any]:
    """Rewrite every object that names the person; objects that an earlier try rewrote need nothing.

    :param last_look: a later repetition: a delivery that is open now began after the suppression, and is not closed.
    :returns: how many objects and rows, by area of the bucket.
    """
    erasure = read_erasure(program_name, name)
    context = erasure.context
    if not last_look:
        for each in context.over_data:
            _close_delivery(each, erasure.name)
    names = [each.program.name for each in context.over_data]
    found = ((key, redaction_of(name, key)) for name in names for key in context.bucket.keys(f"{name}/"))
    redactions = [(key, redaction) for key, redaction in found if redaction]
    objects, rows = _erase_all(erasure, redactions)
    updated = update_manifests(context)
    former = erasure.steps().get(_STEP, {"objects": {}, "rows": {}, "manifests": 0, "looked_at": 0})
    result = {
        "objects": dict(Counter(former["objects"]) + objects),
        "rows": dict(Counter(former["rows"]) + rows),
        "manifests": former["manifests"] + updated,
        "looked_at": max(former["looked_at"], len(redactions)),
    }
    erasure.record_step(_STEP, result)
    log.info("Erasure %s: %s", name, result)
    return result


def _close_delivery(context: StageContext, erasure: str) -> None:
    """Close an unfinished delivery, so that its results are in the last-sent state before that is rewritten."""
    state, _ = context.store(LastSent).read()
    if state.open_delivery:
        plan = context.store(Deliveries).plan(state.open_delivery)
        close(context, plan, by=f"forget-{erasure}-{datetime.now(UTC):%Y%m%dT%H%M%S}")


def _erase_all(
    erasure: Erasure, redactions: list[tuple[str, Redaction]]
) -> tuple[Counter[str], Counter[str]]:
    objects: Counter[str] = Counter()
    rows: Counter[str] = Counter()

    def erase_one(found: tuple[str, Redaction]) -> tuple[str, int]:
        # The certificate names the area of an object; for other programs over the same data, the program too.
        program = found[0].split("/", 1)[0]
        own = program == erasure.context.program.name
        area = area_of(program, found[0]) if own else f"{program}/{area_of(program, found[0])}"
        return area, erase_object(erasure.context.bucket, *found, erasure.name, erasure.identity)

    with ThreadPoolExecutor(_THREADS) as threads:
        for area, removed in threads.map(erase_one, redactions):
            if removed:
                objects[area] += 1
                rows[area] += removed
    return objects, rows


def update_manifests(context: StageContext) -> int:
    """Publish rewritten objects again, and update the import state.

    :returns: how many manifests were updated.
    """
    keys = context.keys
    folders = (f"{keys.program}/exports/", keys.all_full, keys.all_imports)
    etags = {entry["Key"]: entry["ETag"] for folder in folders for entry in context.bucket.listed(folder)}
    digests: dict[str, str] = {}
    updated = sum(
        _update_manifest(context, key, etags, digests)
        for key in etags
        if key.startswith(keys.export_manifests)
        or (key.startswith(keys.all_full) and key.endswith("/manifest.json"))
    )
    context.store(ImportStore).change(lambda state: _with_new_digests(state, etags, digests))
    return updated


def _update_manifest(
    context: StageContext, key: str, etags: Mapping[str, str], digests: dict[str, str]
) -> bool:
    body, etag = context.bucket.get_with_etag(key)
    if body is None:
        return False
    manifest = Manifest.from_json(json.loads(body))
    objects = dict(manifest.objects)
    for kind, exported in manifest.objects.items():
        if exported.etag and etags.get(exported.key, exported.etag) != exported.etag:
            objects[kind] = _described(context, exported, etags[exported.key])
            digests[exported.digest] = objects[kind].digest
    if objects == manifest.objects:
        return False
    document = json.dumps(Manifest(manifest.interval, objects).to_json(), indent=1, sort_keys=True)
    if context.bucket.put_if(key, document.encode(), etag=etag) is None:
        log.info("%s was published by an export just now, and is not updated.", context.bucket.uri(key))
    return True


def _described(context: StageContext, exported: ExportedObject, etag: str) -> ExportedObject:
    """Describe a rewritten object; the digest is of its bytes, so the next export compares its rows."""
    # Without the header; every record ends with a line feed.
    digest, rows, size = hashlib.blake2b(digest_size=16), -1, 0
    for lines in records(context.store(ExportStore).blocks(exported.key, etag)):
        rows += len(lines)
        size += sum(len(line) + 1 for line in lines)
        for line in lines:
            digest.update(line + b"\n")
    return replace(exported, etag=etag, rows=max(rows, 0), size_bytes=size, digest=digest.hexdigest())


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


def erase_object(bucket: Bucket, key: str, redaction: Redaction, erasure: str, identity: Identity) -> int:
    """Rewrite an object without a person, if it names them.

    :param erasure: name of the erasure; replaces the ids in rows that are counted by their position.
    :returns: how many rows, lines or values named them.
    :raises RetriableError: when another run keeps writing it.
    """
    for _ in range(_TRIES):
        with suppress(_ChangedError):
            return _Object(bucket, key, bucket.etag(key)).erase(redaction, erasure, identity)
    raise RetriableError(f"Another run changed {bucket.uri(key)} in each of {_TRIES} attempts; retry.")


class _ChangedError(Exception):
    """Another run wrote the object since it was read."""


@dataclass(frozen=True)
class _Object:
    """One version of an object; only that version is replaced, so that another run's rows are not lost."""

    bucket: Bucket
    key: str
    etag: str | None

    def erase(self, redaction: Redaction, erasure: str, identity: Identity) -> int:
        if self.etag is None:
            return 0
        match redaction:
            case Redaction.TABLE:
                return self._erase_table(identity)
            case Redaction.STAND_IN:
                return self._erase_table(identity, stand_in=f"{ERASED}-{erasure}")
            case Redaction.HASHES:
                return self._erase_hash(identity)
            case _ if not self._occurs(identity):
                return 0
            case Redaction.WHOLE:
                self.bucket.delete(self.key)
                return 1
            case Redaction.ROWS:
                return self._rewrite(lambda stream, n: erasure_rules.csv_without_person(stream, identity, n))
            case Redaction.LINES if not self._is_document():
                return self._rewrite(
                    lambda stream, n: erasure_rules.json_without_person(_lines(stream), identity, n)
                )
            case Redaction.PAGE:
                return self._erase_page(identity)
            case _:
                return self._erase_document(identity)

    def _put(self, body: bytes) -> None:
        if self.bucket.put_if(self.key, body, etag=self.etag) is None:
            raise _ChangedError

    def _check_unchanged(self) -> None:
        """Check right before a multipart upload, which S3 cannot make conditional."""
        if self.bucket.etag(self.key) != self.etag:
            raise _ChangedError

    def _blocks(self) -> Iterator[bytes]:
        return _read(unpacked(self.key, self.bucket.stream(self.key)))

    def _occurs(self, identity: Identity) -> bool:
        overlap = max(map(len, identity.spellings)) - 1
        end = b""
        for block in self._blocks():
            if identity.occurs(end + block):
                return True
            end = (end + block)[-overlap:] if overlap else b""
        return False

    def _is_document(self) -> bool:
        """Return whether it is one JSON document of several lines; JSON lines may be called .json too."""
        if self.key.endswith((".out", ".jsonl", ".gz")):
            return False
        try:
            json.loads(next(_lines(self._blocks()), b""))
        except ValueError:
            return True
        return False

    def _rewrite(self, redact: Callable[[Iterator[bytes], RowCounts], Iterator[bytes]]) -> int:
        counts = RowCounts()
        with TemporaryDirectory(prefix="recsync-erasure-") as folder:
            local = Path(folder) / "object"
            opener = gzip.open if self.key.endswith(".gz") else open
            with opener(local, "wb") as file:
                for block in redact(self._blocks(), counts):
                    file.write(block)
            if not counts.removed:
                return 0
            self._check_unchanged()
            with local.open("rb") as written, object_writer(self.bucket, self.key) as target:
                for block in _read(written):
                    target.write(block)
        return counts.removed

    def _erase_page(self, identity: Identity) -> int:
        body = self.bucket.get(self.key) or b""
        report = self.bucket.get_json(f"{self.key.removesuffix('.html')}.json")
        cleaned = (
            page(erasure_rules.document_without(report, identity))
            if report
            else identity.redacted(body.decode())
        ).encode()
        if cleaned == body:
            return 0
        self._put(cleaned)
        return 1

    def _erase_document(self, identity: Identity) -> int:
        document = json.loads(self.bucket.get(self.key) or b"")
        cleaned = erasure_rules.document_without(document, identity)
        cleaned = {} if cleaned is None else cleaned
        if cleaned == document:
            return 0
        self._put(json.dumps(cleaned, indent=1, sort_keys=True).encode())
        return 1

    def _erase_table(self, identity: Identity, stand_in: str = "") -> int:
        with TemporaryDirectory(prefix="recsync-erasure-") as folder:
            source, target = Path(folder) / "source.parquet", Path(folder) / "target.parquet"
            self.bucket.download(self.key, source)
            counts = erasure_rules.parquet_without_person(source, target, identity, stand_in=stand_in)
            if counts.removed:
                self._check_unchanged()
                self.bucket.upload(self.key, target)
        return counts.removed

    def _erase_hash(self, identity: Identity) -> int:
        """Remove the hash of the user's id from a file of hashes of the users' ids."""
        if "/users" not in self.key:
            return 0
        hashes = np.frombuffer(self.bucket.get(self.key) or b"", dtype="<u8")
        kept = hashes[~np.isin(hashes, string_hashes(pa.array([identity.user_id], pa.string())))]
        if len(kept) < len(hashes):
            self._put(kept.tobytes())
        return len(hashes) - len(kept)


def _read(stream: ByteStream) -> Iterator[bytes]:
    while block := stream.read(_BLOCK_BYTES):
        yield block


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if rest:
        yield rest
