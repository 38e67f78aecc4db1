"""Provide an environment of the stack without the caller's settings."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def stack_environ(tmp_path: Path) -> dict[str, str]:
    """Return folders below tmp_path and a free port for every part."""
    for name in ("dags", "plugins"):
        (tmp_path / name).mkdir()
    ports = {
        f"STACK_{part}_PORT": str(free_port())
        for part in ("POSTGRES", "S3", "PERSONALIZE", "BRAZE", "SHOP", "AIRFLOW")
    }
    return {
        "PATH": "/usr/bin:/bin",
        "STACK_HOME": str(tmp_path / "home"),
        "STACK_DAGS": str(tmp_path / "dags"),
        "STACK_PLUGINS": str(tmp_path / "plugins"),
        "STACK_SAMPLE": "0",
        **ports,
    }


@pytest.fixture
def free_tcp_port() -> int:
    return free_port()


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
