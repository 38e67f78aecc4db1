"""Stream bytes into one S3 object, which readers see whole or not at all.

boto3's ``upload_fileobj`` does not fit: it returns no ETag, which readers of an export need, reads from a file where
exports write, and gives a stream parts of one size, so 100 GB would need 10 MB parts (memory, other ETags).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from recsync.storage.bucket import Bucket

# The smallest part that S3 takes, as three parts are in memory. An object has at most 10,000 parts and a FULL import
# 100 GB, so later parts are larger. https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
PART_BYTES = 5 * 1024 * 1024
LATE_PART_BYTES = 32 * 1024 * 1024
EARLY_PARTS = 5_000
_PARTS_IN_FLIGHT = 2


@contextmanager
def object_writer(bucket: Bucket, key: str) -> Generator[ObjectWriter]:
    """Open an object for writing; it appears when the block ends, and not at all when the block raises."""
    with ThreadPoolExecutor(_PARTS_IN_FLIGHT, thread_name_prefix="upload") as threads:
        writer = ObjectWriter(bucket, key, threads)
        try:
            yield writer
            writer.close()
        except BaseException:
            writer.abort()
            raise


@dataclass
class ObjectWriter:
    """Gather bytes into parts and upload them, at most two at a time.

    The same bytes give the same parts however they are split into writes, so a rerun gives the same ETag.

    :param etag: of the finished object, once the writer is closed.
    """

    bucket: Bucket
    key: str
    threads: ThreadPoolExecutor
    size_bytes: int = 0
    etag: str = ""
    _upload_id: str = ""
    _buffer: bytearray = field(default_factory=bytearray)
    # Bytes of the buffer that are in use.
    _filled: int = 0
    _etags: list[str] = field(default_factory=list)
    _in_flight: deque[tuple[Future[str], bytearray]] = field(default_factory=deque)
    # Buffers of parts that are uploaded; new memory would cost more than the copy into it.
    _free: list[bytearray] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        """Add bytes; wait while two parts are in flight."""
        self.size_bytes += len(data)
        rest = memoryview(data)
        while len(rest):
            if not self._filled and len(self._buffer) < self._part_bytes:
                self._buffer = bytearray(self._part_bytes)
            piece = rest[: self._part_bytes - self._filled]
            # A slice of the bytearray itself would copy the piece twice.
            memoryview(self._buffer)[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            rest = rest[len(piece) :]
            if self._filled == self._part_bytes:
                self._send_part()

    def close(self) -> None:
        if not self._upload_id:
            self.etag = self.bucket.put(self.key, bytes(memoryview(self._buffer)[: self._filled]))
            return
        if self._filled:
            self._send_part()
        while self._in_flight:
            self._wait_for_one()
        parts = [{"ETag": etag, "PartNumber": number} for number, etag in enumerate(self._etags, 1)]
        with self.bucket.errors(self.key):
            answer = self.bucket.client.complete_multipart_upload(
                **self._target, UploadId=self._upload_id, MultipartUpload={"Parts": parts}
            )
        self.etag = str(answer["ETag"])

    def abort(self) -> None:
        """Abort the upload; if that fails, the bucket's life-cycle rule for incomplete uploads removes the parts."""
        futures = [future for future, _ in self._in_flight]
        for future in futures:
            future.cancel()
        # A part that arrives after the abort would remain.
        wait(futures)
        if self._upload_id:
            self.bucket.forget_parts(self.key, self._upload_id)

    @property
    def _target(self) -> dict[str, str]:
        return {"Bucket": self.bucket.name, "Key": self.key}

    @property
    def _part_bytes(self) -> int:
        started = len(self._etags) + len(self._in_flight)
        return PART_BYTES if started < EARLY_PARTS else LATE_PART_BYTES

    def _send_part(self) -> None:
        if not self._upload_id:
            with self.bucket.errors(self.key):
                self._upload_id = str(self.bucket.client.create_multipart_upload(**self._target)["UploadId"])
        if len(self._in_flight) == _PARTS_IN_FLIGHT:
            self._wait_for_one()
        number = len(self._etags) + len(self._in_flight) + 1
        whole = self._filled == len(self._buffer)
        body = self._buffer if whole else bytes(memoryview(self._buffer)[: self._filled])
        self._in_flight.append((self.threads.submit(self._upload, number, body), self._buffer))
        self._buffer, self._filled = self._free.pop() if self._free else bytearray(), 0

    def _wait_for_one(self) -> None:
        future, buffer = self._in_flight.popleft()
        self._etags.append(future.result())
        self._free.append(buffer)

    def _upload(self, number: int, body: bytes | bytearray) -> str:
        with self.bucket.errors(self.key):
            answer: Any = self.bucket.client.upload_part(
                **self._target, UploadId=self._upload_id, PartNumber=number, Body=body
            )
        return str(answer["ETag"])
