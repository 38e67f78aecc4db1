from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from recsync.errors import FatalError
from recsync.stores.bucket import Bucket


def test_objects_come_back_whole_and_missing_ones_are_none(bucket: Bucket, tmp_path: Path) -> None:
    assert bucket.get("a") is None
    assert bucket.etag("a") is None
    etag = bucket.put("a", b"one\ntwo\n")
    assert bucket.get("a") == b"one\ntwo\n"
    assert bucket.etag("a") == etag
    assert list(bucket.lines("a")) == [b"one", b"two"]
    (tmp_path / "f").write_bytes(b"three")
    bucket.upload("p/b", tmp_path / "f")
    bucket.copy("p/b", "p/c")
    assert bucket.keys("p/") == ["p/b", "p/c"]
    bucket.delete("p/b")
    bucket.delete("p/b")
    assert bucket.keys("p/") == ["p/c"]


def test_json_and_tables_round_trip(bucket: Bucket) -> None:
    assert bucket.get_json("j") is None
    bucket.put_json("j", {"a": [1]})
    assert bucket.get_json("j") == {"a": [1]}
    table = pa.table({"x": ["a", None]})
    bucket.put_table("t", table)
    assert bucket.get_table("t") == table
    assert bucket.get_table("nothing") is None


def test_damaged_state_is_named(bucket: Bucket) -> None:
    bucket.put("j", b"{")
    with pytest.raises(FatalError, match=rf"s3://{bucket.name}/j is not valid JSON"):
        bucket.get_json("j")
    with pytest.raises(FatalError, match="is not valid Parquet"):
        bucket.get_table("j")


def test_a_missing_bucket_says_what_to_do(bucket: Bucket) -> None:
    with pytest.raises(FatalError, match="Create the bucket"):
        replace(bucket, name="no-such-bucket").put("a", b"")
