"""Give the stack's tests a folder of their own and an environment without the caller's settings."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def stack_environ(tmp_path: Path) -> dict[str, str]:
    """Name folders below tmp_path and free ports for every part."""
    for name in ("dags", "plugins"):
        (tmp_path / name).mkdir()
    ports = {
        f"STACK_{part}_PORT": str(free_port())
        for part in ("POSTGRES", "S3", "PERSONALIZE", "BRAZE", "AIRFLOW")
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
