from __future__ import annotations

from io import BytesIO

import pytest

from recsync.errors import RetriableError
from recsync.warehouse.hooks.unload import Part, StagedParts, Unload

OBJECTS = {"s3://b/0": b"1,a\n2,", "s3://b/1": b"", "s3://b/2": b"b\n3,c\n"}


def opened(uri: str) -> BytesIO:
    return BytesIO(OBJECTS[uri])


@pytest.mark.parametrize("size", [1, 5, 100])
def test_several_objects_are_read_as_one(size: int) -> None:
    parts = [Part(uri, len(body) if body else None) for uri, body in OBJECTS.items()]
    stream = StagedParts(parts, opened)
    pieces = list(iter(lambda: stream.read(size), b""))
    assert b"".join(pieces) == b"1,a\n2,b\n3,c\n"
    assert max(map(len, pieces)) <= size


@pytest.mark.parametrize("difference", [-1, 1])
def test_an_object_of_another_length_is_no_end(difference: int) -> None:
    parts = [Part(uri, len(body) + difference * (uri == "s3://b/2")) for uri, body in OBJECTS.items()]
    stream = StagedParts(parts, opened)
    with pytest.raises(RetriableError, match=r"s3://b/2 holds 6 bytes of [57]"):
        list(iter(lambda: stream.read(100), b""))


def test_no_objects_are_no_bytes() -> None:
    assert StagedParts([], opened).read(10) == b""


def test_an_unload_that_an_older_version_deferred_is_read() -> None:
    older = {
        "uri": "s3://b/x/",
        "statement_id": "1",
        "aws_conn_id": "aws_default",
        "region_name": None,
        "timeout_seconds": 60.0,
        "parts": [["rows.csv", 7]],
    }
    found = Unload.from_dict(older)
    assert (found.parts, found.query_id, found.parquet) == ((("rows.csv", 7),), None, False)
