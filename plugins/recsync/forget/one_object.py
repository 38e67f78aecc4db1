"""Read one object once, and replace it when it names people."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from recsync.errors import FatalError, RetriableError
from recsync.export.report_page import page
from recsync.forget import erasure_rules, object_ids
from recsync.forget.erasure_rules import Redaction, RowCounts
from recsync.forget.object_ids import IdHashes
from recsync.forget.people import ERASED, People, hashes_of
from recsync.recommend.lists.batch_output import unpacked
from recsync.storage.bucket import Bucket
from recsync.storage.csv_text import ByteStream
from recsync.storage.hashes import Hashes
from recsync.storage.object_writer import object_writer

_BLOCK_BYTES = 4 * 1024 * 1024
# Up to this size, S3 replaces one version of an object or none.
CONDITIONAL_BYTES = 8 * 1024 * 1024
# A run that began before the suppression may still write; it writes each object at most twice.
_TRIES = 5


@dataclass(frozen=True)
class ObjectVersion:
    """One version of an object that may name people."""

    key: str
    etag: str
    size_bytes: int
    redaction: Redaction


@dataclass(frozen=True)
class ErasureResult:
    """The result of erasing people from one object.

    :param version: the version that was read; None when the object was deleted before.
    :param etag: of the object afterwards; empty when it is deleted.
    :param ids: its ids afterwards; None if unknown or too many.
    :param removed: rows, lines or values by request name.
    """

    version: ObjectVersion | None
    etag: str = ""
    ids: Hashes | None = None
    removed: Counter[str] | None = None


Put = Callable[[ObjectVersion, Path, Counter[str]], str | None]
"""Replaces one version of an object by a file; returns the new ETag, None when the object has another version."""


def put_directly(bucket: Bucket) -> Put:
    """Return a function that replaces the object itself."""

    def put(found: ObjectVersion, path: Path, _: Counter[str]) -> str | None:
        if path.stat().st_size <= CONDITIONAL_BYTES:
            return bucket.put_if(found.key, path.read_bytes(), etag=found.etag)
        # S3 cannot make an upload in parts conditional, so check right before.
        return upload(bucket, found.key, path) if bucket.etag(found.key) == found.etag else None

    return put


def upload(bucket: Bucket, key: str, path: Path) -> str:
    """Write a file and return the ETag."""
    with path.open("rb") as file, object_writer(bucket, key) as target:
        for block in blocks_of(file):
            target.write(block)
    return target.etag


def erase_from_object(bucket: Bucket, version: ObjectVersion, people: People, put: Put) -> ErasureResult:
    """Read an object, and replace it if it names people. If another run rewrites it meanwhile, begin again.

    :raises RetriableError: when another run keeps rewriting it.
    """
    with TemporaryDirectory(prefix="recsync-erasure-") as folder:
        for _ in range(_TRIES):
            result = _LocalCopy(bucket, version, people, Path(folder)).erase(put)
            if result is not None:
                return result
            etag = bucket.etag(version.key)
            if etag is None:
                return ErasureResult(None)
            version = replace(version, etag=etag)
    raise RetriableError(
        f"Another run changed {bucket.uri(version.key)} in each of {_TRIES} attempts; retry."
    )


@dataclass(frozen=True)
class _LocalCopy:
    """One version of an object in a local file."""

    bucket: Bucket
    version: ObjectVersion
    people: People
    folder: Path

    def erase(self, put: Put) -> ErasureResult | None:
        """Replace the version if it names people; return None when the object has another version by now."""
        source, target = self.folder / "source", self.folder / "target"
        key, etag = self.version.key, self.version.etag
        if not self.bucket.download_version(key, source, etag=etag):
            return None
        if self.version.redaction is Redaction.WHOLE:
            return self._delete_if_named(source)
        ids = self._ids(source)
        if not ids.is_hit:
            return ErasureResult(self.version, etag, ids.hashes())
        removed = self._write(source, target)
        if not removed:
            return ErasureResult(self.version, etag, ids.hashes())
        new = put(self.version, target, removed)
        # Read the new file instead of subtracting ids: no hash of an erased person may remain in the index.
        return None if new is None else ErasureResult(self.version, new, self._ids(target).hashes(), removed)

    def _blocks(self, path: Path) -> Iterator[bytes]:
        with path.open("rb") as file:
            yield from blocks_of(unpacked(self.version.key, file))

    def _delete_if_named(self, source: Path) -> ErasureResult:
        if self.version.key.endswith((".parquet", ".arrow")):
            named = erasure_rules.named_in_table(source, self.people)
        else:
            blocks = erasure_rules.line_blocks(self._blocks(source))
            named = set().union(*map(self.people.may_occur, blocks))
        if not named:
            return ErasureResult(self.version, self.version.etag)
        self.bucket.delete(self.version.key)
        return ErasureResult(self.version, removed=Counter(named))

    def _ids(self, path: Path) -> IdHashes:
        found = IdHashes(self.people.probes)
        match self.version.redaction:
            case Redaction.TABLE | Redaction.STAND_IN:
                object_ids.ids_of_parquet(path, found)
            case Redaction.ROWS:
                object_ids.ids_of_csv(self._blocks(path), found)
            case Redaction.HASHES if self._is_of_users():
                found.add(np.frombuffer(path.read_bytes(), dtype="<u8"))
            case Redaction.HASHES:
                pass
            case Redaction.LINES if not self._is_document(path):
                object_ids.ids_of_lines(self._blocks(path), found)
            case Redaction.PAGE:
                text, report = path.read_text(), self._report()
                if report and page(report) == text:
                    object_ids.ids_of_document(json.dumps(report).encode(), found)
                else:
                    object_ids.ids_of_text(text, found)
            case _:
                object_ids.ids_of_document(path.read_bytes(), found)
        return found

    def _write(self, source: Path, target: Path) -> Counter[str]:
        """Write the file without the people, and return the counts removed; empty when it names none of them."""
        match self.version.redaction:
            case Redaction.TABLE:
                return erasure_rules.parquet_without(source, target, self.people).removed
            case Redaction.STAND_IN:
                return erasure_rules.parquet_without(source, target, self.people, stand_in=ERASED).removed
            case Redaction.ROWS:
                return self._write_blocks(source, target, erasure_rules.csv_without)
            case Redaction.LINES if not self._is_document(source):
                return self._write_blocks(source, target, erasure_rules.json_without)
            case Redaction.HASHES:
                return self._write_hashes(source, target)
            case Redaction.PAGE:
                return self._write_page(source, target)
            case _:
                return self._write_document(source, target)

    def _write_blocks(
        self,
        source: Path,
        target: Path,
        without: Callable[[Iterator[bytes], People, RowCounts], Iterator[bytes]],
    ) -> Counter[str]:
        counts = RowCounts()
        opener = gzip.open if self.version.key.endswith(".gz") else open
        with opener(target, "wb") as file:
            for block in without(self._blocks(source), self.people, counts):
                file.write(block)
        return counts.removed

    def _write_hashes(self, source: Path, target: Path) -> Counter[str]:
        hashes = np.frombuffer(source.read_bytes(), dtype="<u8")
        names = dict(zip(hashes_of(self.people.users).tolist(), self.people.users.values(), strict=True))
        erased = np.isin(hashes, np.array(list(names), dtype=np.uint64))
        target.write_bytes(hashes[~erased].tobytes())
        return Counter(names[one] for one in hashes[erased].tolist())

    def _write_page(self, source: Path, target: Path) -> Counter[str]:
        body, report = source.read_text(), self._report()
        # The report may have been rewritten before.
        cleaned, found = erasure_rules.text_without(body, self.people)
        if report:
            left, also = erasure_rules.document_without(report, self.people)
            cleaned, found = page(left), found | also
        target.write_text(cleaned)
        return Counter(found if cleaned != body else ())

    def _write_document(self, source: Path, target: Path) -> Counter[str]:
        try:
            document = json.loads(source.read_bytes())
        except ValueError:
            raise FatalError(
                f"{self.bucket.uri(self.version.key)} names a person and is not valid JSON; restore or delete it."
            ) from None
        cleaned, found = erasure_rules.document_without(document, self.people)
        target.write_text(json.dumps({} if cleaned is None else cleaned, indent=1, sort_keys=True))
        return Counter(found)

    def _is_of_users(self) -> bool:
        return "/users" in self.version.key

    def _is_document(self, path: Path) -> bool:
        """Return whether it is one JSON document of several lines; JSON lines may be called .json too."""
        if self.version.key.endswith((".out", ".jsonl", ".gz")):
            return False
        with path.open("rb") as file:
            try:
                json.loads(file.readline())
            except ValueError:
                return True
        return False

    def _report(self) -> Any:
        return self.bucket.get_json(f"{self.version.key.removesuffix('.html')}.json")


def blocks_of(stream: ByteStream) -> Iterator[bytes]:
    """Read a stream in blocks."""
    while block := stream.read(_BLOCK_BYTES):
        yield block
