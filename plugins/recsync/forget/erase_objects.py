"""Take one person out of one object on S3; readers see the former object or the new one, never half of either."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from recsync.errors import RetriableError
from recsync.export.report_page import page
from recsync.forget import csv_rows, json_text, parquet_rows
from recsync.forget.csv_rows import Removed
from recsync.forget.erasure_rules import Way
from recsync.forget.identity import ERASED, Identity
from recsync.recommend.lists.output_files import unpacked
from recsync.storage.bucket import Bucket
from recsync.storage.byte_stream import ByteStream
from recsync.storage.hashes import string_hashes
from recsync.storage.object_writer import object_writer

_BLOCK_BYTES = 4 * 1024 * 1024
_HASH_BYTES = 8
# A run that began before the suppression may still write; each object is written once or twice by a run.
_TRIES = 5


def erase(bucket: Bucket, key: str, way: Way, erasure: str, identity: Identity) -> int:
    """Rewrite an object without a person, if it names them.

    :param erasure: name of the erasure, which stands in for the person where rows are counted by their place.
    :returns: how many rows, lines or values named them.
    :raises RetriableError: when somebody else goes on writing it.
    """
    for _ in range(_TRIES):
        with suppress(_ChangedError):
            return _erase(_Object(bucket, key, bucket.etag(key)), way, erasure, identity)
    raise RetriableError(
        f"{bucket.uri(key)} is written by somebody else again and again; the task is tried again."
    )


class _ChangedError(Exception):
    """Somebody else wrote the object since it was read."""


@dataclass(frozen=True)
class _Object:
    """An object as it was when it was read first; only that one is replaced, or a run that writes would lose rows."""

    bucket: Bucket
    key: str
    etag: str | None

    def put(self, body: bytes) -> None:
        if self.bucket.put_if(self.key, body, etag=self.etag) is None:
            raise _ChangedError

    def check(self) -> None:
        """Look right before a write in parts, which S3 does by no condition."""
        if self.bucket.etag(self.key) != self.etag:
            raise _ChangedError


def _erase(found: _Object, way: Way, erasure: str, identity: Identity) -> int:
    bucket, key = found.bucket, found.key
    if found.etag is None:
        return 0
    if way in (Way.TABLE, Way.STAND_IN):
        return _table(found, identity, f"{ERASED}-{erasure}" if way is Way.STAND_IN else "")
    if way is Way.HASHES:
        return _hashes(found, identity)
    if not _occurs(bucket, key, identity):
        return 0
    if way is Way.WHOLE:
        bucket.delete(key)
        return 1
    if way is Way.ROWS:
        return _rewritten(found, lambda stream, counted: csv_rows.without_person(stream, identity, counted))
    if way is Way.LINES and not _is_document(bucket, key):
        return _rewritten(
            found, lambda stream, counted: json_text.without_person(_lines(stream), identity, counted)
        )
    return _document(found, way, identity)


def _blocks(stream: ByteStream) -> Iterator[bytes]:
    while block := stream.read(_BLOCK_BYTES):
        yield block


def _opened(bucket: Bucket, key: str) -> Iterator[bytes]:
    return _blocks(unpacked(key, bucket.stream(key)))


def _occurs(bucket: Bucket, key: str, identity: Identity) -> bool:
    overlap = max(map(len, identity.spellings)) - 1
    end = b""
    for block in _opened(bucket, key):
        if identity.occurs(end + block):
            return True
        end = (end + block)[-overlap:] if overlap else b""
    return False


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if rest:
        yield rest


def _is_document(bucket: Bucket, key: str) -> bool:
    """Tell a document of several lines from JSON lines, which may both be called .json."""
    if key.endswith((".out", ".jsonl", ".gz")):
        return False
    first = next(_lines(_opened(bucket, key)), b"")
    try:
        json.loads(first)
    except ValueError:
        return True
    return False


def _rewritten(found: _Object, without: Callable[[Iterator[bytes], Removed], Iterator[bytes]]) -> int:
    bucket, key, counted = found.bucket, found.key, Removed()
    with TemporaryDirectory(prefix="recsync-erasure-") as folder:
        local = Path(folder) / "object"
        opener = gzip.open if key.endswith(".gz") else open
        with opener(local, "wb") as file:
            for block in without(_opened(bucket, key), counted):
                file.write(block)
        if not counted.removed:
            return 0
        found.check()
        with local.open("rb") as written, object_writer(bucket, key) as target:
            for block in _blocks(written):
                target.write(block)
    return counted.removed


def _document(found: _Object, way: Way, identity: Identity) -> int:
    bucket, key = found.bucket, found.key
    body = bucket.get(key) or b""
    if way is Way.PAGE:
        report = bucket.get_json(f"{key.removesuffix('.html')}.json")
        text = (
            page(json_text.document_without(report, identity)) if report else identity.redacted(body.decode())
        )
        cleaned = text.encode()
    else:
        document: Any = json_text.document_without(json.loads(body), identity)
        cleaned = json.dumps({} if document is None else document, indent=1, sort_keys=True).encode()
        if json.loads(cleaned) == json.loads(body):
            return 0
    if cleaned == body:
        return 0
    found.put(cleaned)
    return 1


def _table(found: _Object, identity: Identity, stand_in: str) -> int:
    bucket, key = found.bucket, found.key
    with TemporaryDirectory(prefix="recsync-erasure-") as folder:
        source, target = Path(folder) / "source.parquet", Path(folder) / "target.parquet"
        bucket.download(key, source)
        counted = parquet_rows.without_person(source, target, identity, stand_in=stand_in)
        if counted.removed:
            found.check()
            bucket.upload(key, target)
    return counted.removed


def _hashes(found: _Object, identity: Identity) -> int:
    """Take the hash of the user's id out of a file of hashes of a dataset's ids."""
    if "/users" not in found.key:
        return 0
    body = found.bucket.get(found.key) or b""
    hashes = np.frombuffer(body, dtype="<u8")
    kept = hashes[~np.isin(hashes, string_hashes(pa.array([identity.user_id], pa.string())))]
    if len(kept) < len(hashes):
        found.put(kept.tobytes())
    return (len(body) // _HASH_BYTES) - len(kept)
