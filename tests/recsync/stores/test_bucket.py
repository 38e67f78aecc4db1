from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import boto3
import pyarrow as pa
import pytest
from botocore.config import Config

from recsync.core.local_disk import local_disk
from recsync.errors import FatalError, RetriableError
from recsync.stores.bucket import Bucket


def test_objects_come_back_whole_and_missing_ones_are_none(bucket: Bucket, tmp_path: Path) -> None:
    assert bucket.get("a") is None
    assert bucket.etag("a") is None
    etag = bucket.put("a", b"one\ntwo\n")
    assert bucket.get("a") == b"one\ntwo\n"
    assert bucket.etag("a") == etag
    (tmp_path / "f").write_bytes(b"three")
    bucket.upload("p/b", tmp_path / "f")
    bucket.copy("p/b", "p/c")
    assert bucket.keys("p/") == ["p/b", "p/c"]
    bucket.delete("p/b")
    bucket.delete("p/b")
    assert bucket.keys("p/") == ["p/c"]


def test_a_folder_does_not_hold_what_only_begins_like_it(bucket: Bucket) -> None:
    for key in ("out/weekly/a", "out/weekly/deep/b", "out/weekly-old/c", "out/weekly.json"):
        bucket.put(key, b"12")
    for folder in ("out/weekly", "out/weekly/"):
        assert bucket.keys(folder) == ["out/weekly/a", "out/weekly/deep/b"]
    assert [entry["Key"] for entry in bucket.listed("out/weekly", first_level=True)] == ["out/weekly/a"]
    assert [entry["Key"] for entry in bucket.listed("out", after="out/weekly/a")] == ["out/weekly/deep/b"]
    assert len(bucket.keys("")) >= 4
    assert (bucket.size_bytes("out/weekly.json"), bucket.size_bytes("out/weekly")) == (2, None)


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


def test_large_objects_go_to_files_and_come_in_pieces(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("a", b"0123456789")
    bucket.download("a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"0123456789"
    stream = bucket.stream("a")
    assert [stream.read(4), stream.read(4), stream.read(4), stream.read(4)] == [b"0123", b"4567", b"89", b""]
    for attempt in (lambda: bucket.download("b", tmp_path / "b"), lambda: bucket.stream("b")):
        with pytest.raises(RetriableError, match="/b is not there"):
            attempt()


def test_a_full_disk_is_named(bucket: Bucket) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    with pytest.raises(RetriableError, match="no room at /somewhere"), local_disk(Path("/somewhere")):
        full.write_bytes(b"x")


def test_an_upload_that_is_refused_says_what_to_do(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"three")
    with pytest.raises(FatalError, match="Create the bucket"):
        replace(bucket, name="no-such-bucket").upload("a", tmp_path / "f")


def test_a_server_that_does_not_answer_is_tried_again(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        settings = Config(retries={"total_max_attempts": 1})
        client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{unused.getsockname()[1]}",
            region_name="us-east-1",
            config=settings,
        )
        with pytest.raises(RetriableError, match="S3 failed on s3://b/a"):
            Bucket(client, "b").download("a", tmp_path / "a")
