from __future__ import annotations

from pathlib import Path

from stack import s3_state

KEYS = ["a", "a/b", "a//b", "folder/", "x/../../y", "/top", "ü %41/z.json", "p=1/.hidden"]


def _empty(url: str) -> None:
    s3 = s3_state.client(url)
    for bucket in s3.list_buckets()["Buckets"]:
        for key in _keys(url, bucket["Name"]):
            s3.delete_object(Bucket=bucket["Name"], Key=key)
        s3.delete_bucket(Bucket=bucket["Name"])


def _keys(url: str, bucket: str) -> list[str]:
    return [item["Key"] for item in s3_state.client(url).list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_every_object_survives_a_stop(s3_url: str, tmp_path: Path) -> None:
    s3 = s3_state.client(s3_url)
    for bucket in ("one", "two-empty"):
        s3_state.ensure_bucket(s3_url, bucket)
    for key in KEYS:
        s3.put_object(Bucket="one", Key=key, Body=key.encode())
    assert s3_state.save(s3_url, tmp_path / "s3") == len(KEYS)
    assert all(path.is_relative_to(tmp_path / "s3") for path in tmp_path.rglob("*") if path.is_file())

    _empty(s3_url)
    assert s3_state.restore(s3_url, tmp_path / "s3") == len(KEYS)
    assert sorted(_keys(s3_url, "one")) == sorted(KEYS)
    for key in KEYS:
        assert s3.get_object(Bucket="one", Key=key)["Body"].read() == key.encode()
    assert _keys(s3_url, "two-empty") == []


def test_saving_again_drops_what_was_deleted(s3_url: str, tmp_path: Path) -> None:
    s3_state.ensure_bucket(s3_url, "one")
    s3 = s3_state.client(s3_url)
    s3.put_object(Bucket="one", Key="k", Body=b"")
    s3_state.save(s3_url, tmp_path / "s3")
    s3.delete_object(Bucket="one", Key="k")
    assert s3_state.save(s3_url, tmp_path / "s3") == 0
    assert s3_state.restore(s3_url, tmp_path / "s3") == 0


def test_nothing_saved_means_nothing_restored(s3_url: str, tmp_path: Path) -> None:
    assert s3_state.restore(s3_url, tmp_path / "never") == 0


def test_the_bucket_may_exist_already(s3_url: str) -> None:
    s3_state.ensure_bucket(s3_url, "one")
    s3_state.ensure_bucket(s3_url, "one")
    assert _keys(s3_url, "one") == []
