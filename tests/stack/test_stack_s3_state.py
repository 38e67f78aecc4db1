from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from stack import s3_state

KEYS = ["a", "a/b", "a//b", "folder/", "x/../../y", "/top", "ü %41/z.json", "p=1/.hidden"]


@pytest.fixture
def s3_url() -> Iterator[str]:
    """Start an empty S3 in a process of its own: all of moto's servers in one process hold the same buckets."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_port(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise TimeoutError(f"nobody listens on {port}")


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
