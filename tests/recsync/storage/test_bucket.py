from __future__ import annotations

import socket
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import boto3
import pyarrow as pa
import pytest
from botocore.config import Config
from botocore.exceptions import IncompleteReadError
from matrix_s3 import Door, Refusal

from recsync.errors import FatalError, RetriableError
from recsync.push.ledger import EntryKind, LedgerEntry
from recsync.push.store import Deliveries
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys


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
    assert bucket.folders("out/") == ["weekly", "weekly-old"]
    assert bucket.folders("nothing/") == []
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


@pytest.mark.parametrize("limit", [9, 10])
def test_files_go_in_one_request_or_in_parts(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr("recsync.storage.bucket._ONE_REQUEST_BYTES", limit)
    requests: list[str] = []
    bucket.client.meta.events.register("before-call.s3", lambda model, **_: requests.append(model.name))
    (tmp_path / "there").write_bytes(b"0123456789")
    bucket.upload("a", tmp_path / "there")
    bucket.download("a", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"0123456789"
    more = ["HeadObject", "GetObject"] if limit < 10 else []
    assert requests == ["PutObject", "GetObject", *more]


def test_a_download_that_breaks_off_starts_anew(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise IncompleteReadError(actual_bytes=4, expected_bytes=10)

    bucket.put("a", b"0123456789")
    answers = [{"Body": Broken(), "ContentLength": 10}]
    get_object = bucket.client.get_object
    monkeypatch.setattr(
        bucket.client, "get_object", lambda **asked: answers.pop() if answers else get_object(**asked)
    )
    bucket.download("a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"0123456789"
    assert answers == []


def test_an_upload_that_is_refused_says_what_to_do(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"three")
    with pytest.raises(FatalError, match="Create the bucket"):
        replace(bucket, name="no-such-bucket").upload("a", tmp_path / "f")


CONFLICT = Refusal("409 Conflict", "ConditionalRequestConflict")


@pytest.mark.parametrize("exists", [False, True])
def test_a_conditional_write_that_s3_did_not_decide_is_repeated(
    door: Door, door_bucket: Bucket, exists: bool
) -> None:
    etag = door_bucket.put("a", b"old") if exists else None
    refusals = [CONFLICT, CONFLICT]
    door.before = lambda key: refusals.pop() if refusals else None
    written = door_bucket.put_if("a", b"new", etag=etag)
    assert written is not None
    assert written == door_bucket.etag("a")
    assert door_bucket.get("a") == b"new"
    assert refusals == []


def test_after_a_409_another_writer_may_have_been_faster(door: Door, door_bucket: Bucket) -> None:
    refusals = [CONFLICT]

    def before(key: str) -> Refusal | None:
        if not refusals:
            return None
        refusal = refusals.pop()
        door_bucket.put("a", b"theirs")
        return refusal

    door.before = before
    assert door_bucket.put_if("a", b"ours", etag=None) is None
    assert door_bucket.get("a") == b"theirs"


def test_a_write_that_s3_never_decides_is_left_to_the_retries(
    door: Door, door_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsync.storage.bucket._FIRST_PAUSE_SECONDS", 0.001)
    door.before = lambda key: CONFLICT
    with pytest.raises(RetriableError, match="did not decide between writers"):
        door_bucket.put_if("a", b"x", etag=None)


def test_a_ledger_entry_that_s3_did_not_decide_is_written(
    door: Door, door_bucket: Bucket, keys: Keys
) -> None:
    deliveries = Deliveries(door_bucket, keys)
    refusals = [CONFLICT]
    door.before = lambda key: refusals.pop() if refusals else None
    deliveries.append("d-1", 0, LedgerEntry(EntryKind.TAKE_OVER, "2026-01-01T00:00:00+00:00", "try 1"))
    assert door_bucket.etag(keys.ledger_entry("d-1", 0)) is not None


def test_missing_credentials_name_the_connection(
    s3_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    client = boto3.session.Session().client("s3", endpoint_url=s3_url, region_name="us-east-1")
    with pytest.raises(FatalError, match="Airflow connection shop_aws \\(AIRFLOW_CONN_SHOP_AWS\\)"):
        Bucket(client, "b", "shop_aws").get("a")


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


def test_one_version_is_downloaded_or_nothing(bucket: Bucket, tmp_path: Path) -> None:
    former, path = bucket.put("a", b"former"), tmp_path / "a"
    assert bucket.download_version("a", path, etag=former)
    assert path.read_bytes() == b"former"
    bucket.put("a", b"newer")
    assert not bucket.download_version("a", path, etag=former)
    bucket.delete("a")
    assert not bucket.download_version("a", path, etag=former)


def test_many_objects_are_deleted_by_few_requests(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsync.storage.bucket._DELETED_AT_ONCE", 2)
    for key in ("a", "b", "c", "d"):
        bucket.put(key, b"")
    bucket.delete_all(["a", "b", "c", "gone"])
    bucket.delete_all([])
    assert bucket.keys("") == ["d"]
