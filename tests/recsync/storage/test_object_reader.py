import io

import pytest

from recsync.errors import RetriableError
from recsync.storage.bucket import Bucket
from recsync.storage.object_reader import RANGE_BYTES

BODY = bytes(range(256)) * (RANGE_BYTES // 64)


def test_any_part_of_an_object_is_read_as_of_a_file(bucket: Bucket) -> None:
    bucket.put("a", BODY)
    stream, local = bucket.open("a"), io.BytesIO(BODY)
    assert stream is not None
    for offset, whence, size in [(0, 0, 10), (300, 1, 5), (-7, 2, 100), (RANGE_BYTES - 3, 0, 6), (2, 0, -1)]:
        assert stream.seek(offset, whence) == local.seek(offset, whence)
        assert stream.read(size) == local.read(size)
        assert stream.tell() == local.tell()
    assert stream.read(1) == b"", "the end"


def test_a_missing_object_is_none_and_one_deleted_meanwhile_is_an_error(bucket: Bucket) -> None:
    assert bucket.open("a") is None
    bucket.put("a", BODY)
    stream = bucket.open("a")
    assert stream is not None
    bucket.delete("a")
    with pytest.raises(RetriableError, match=r"/a is not there"):
        stream.read(1)


def test_a_stream_begins_at_any_byte(bucket: Bucket) -> None:
    bucket.put("a", BODY)
    assert bucket.stream("a", 5).read(4) == BODY[5:9]
    assert bucket.stream("a").read(4) == BODY[:4]
