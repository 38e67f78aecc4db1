"""Read the body of an object on S3 as a stream, or any range of it as a file. S3's errors become the bucket's."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsync.storage.bucket import Bucket

RANGE_BYTES = 128 * 1024
"""Least bytes to request at a time: a request takes as long as the transfer of about 100 kB."""


@dataclass(frozen=True)
class BodyStream:
    """The body of one response of S3."""

    bucket: Bucket
    key: str
    body: Any

    def read(self, size: int, /) -> bytes:
        with self.bucket.errors(self.key):
            return bytes(self.body.read(size))


class RangeReader(io.RawIOBase):
    """Read one object at any position, by a request for each range."""

    def __init__(self, bucket: Bucket, key: str, size_bytes: int) -> None:
        super().__init__()
        self._bucket, self._key, self._size_bytes, self._position = bucket, key, size_bytes, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        end = min(self._position + len(buffer), self._size_bytes)
        if end <= self._position:
            return 0
        with self._bucket.errors(self._key):
            found = self._bucket.client.get_object(
                Bucket=self._bucket.name, Key=self._key, Range=f"bytes={self._position}-{end - 1}"
            )
            body = bytes(found["Body"].read())
        buffer[: len(body)] = body
        self._position += len(body)
        return len(body)
