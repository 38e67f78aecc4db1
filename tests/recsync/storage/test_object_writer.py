"""Objects written in pieces: whole or not at all, the same bytes always the same object."""

from __future__ import annotations

import random
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from recsync.errors import RetriableError
from recsync.storage.bucket import Bucket
from recsync.storage.object_writer import PART_BYTES, object_writer

BODY = random.Random(5).randbytes(2 * PART_BYTES + 12_345)


def write(bucket: Bucket, key: str, body: bytes, piece_bytes: int) -> str:
    with object_writer(bucket, key) as target:
        for start in range(0, len(body), piece_bytes):
            target.write(body[start : start + piece_bytes])
    assert target.size_bytes == len(body)
    return target.etag


def uploads(bucket: Bucket) -> list[Any]:
    return list(bucket.client.list_multipart_uploads(Bucket=bucket.name).get("Uploads", []))


def test_a_small_object_is_written_at_once(bucket: Bucket) -> None:
    etag = write(bucket, "small", b"a,b\n1,2\n", 3)
    assert bucket.get("small") == b"a,b\n1,2\n"
    assert bucket.etag("small") == etag
    assert "-" not in etag, "no upload in parts"


def test_an_empty_object_is_an_object(bucket: Bucket) -> None:
    write(bucket, "empty", b"", 1)
    assert bucket.get("empty") == b""


def test_however_the_bytes_come_the_object_and_its_etag_are_the_same(bucket: Bucket) -> None:
    etags = {write(bucket, f"large-{size}", BODY, size) for size in (1_000_003, PART_BYTES, 3 * PART_BYTES)}
    assert len(etags) == 1
    assert etags.pop().endswith('-3"')
    assert bucket.get("large-1000003") == BODY
    assert uploads(bucket) == []


def test_a_body_of_whole_parts_has_no_empty_part_at_the_end(bucket: Bucket) -> None:
    assert write(bucket, "whole", BODY[: 2 * PART_BYTES], PART_BYTES).endswith('-2"')
    assert bucket.get("whole") == BODY[: 2 * PART_BYTES]


def test_what_breaks_off_leaves_the_former_object_and_no_parts(bucket: Bucket) -> None:
    bucket.put("a", b"former")

    def break_off() -> None:
        with object_writer(bucket, "a") as target:
            target.write(BODY)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert bucket.get("a") == b"former"
    assert uploads(bucket) == []


def test_a_part_that_s3_refuses_fails_the_write_and_leaves_nothing(bucket: Bucket) -> None:
    def fail(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="scripted")

    bucket.client.meta.events.register("before-parameter-build.s3.UploadPart", fail)
    try:
        with (
            pytest.raises(RetriableError, match=r"S3 failed on s3://.*/a"),
            object_writer(bucket, "a") as target,
        ):
            target.write(BODY)
    finally:
        bucket.client.meta.events.unregister("before-parameter-build.s3.UploadPart", fail)
    assert bucket.get("a") is None
    assert uploads(bucket) == []
