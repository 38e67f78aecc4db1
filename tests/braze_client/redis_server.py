"""A Redis server of the tests: Debian's ``redis-server`` with a password, in a folder of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

PASSWORD = "pace-password"
needs_redis = pytest.mark.skipif(
    not shutil.which("redis-server"), reason="no Redis here: apt-get install redis-server"
)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class RedisServer:
    """Start, kill and start again a server on one port.

    :param kept: whether a restart finds what was there.
    """

    def __init__(self, folder: Path, *, kept: bool = True) -> None:
        self._folder = folder
        self._kept = kept
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        import redis

        command = ["redis-server", "--port", str(self._port), "--requirepass", PASSWORD, "--save", ""]
        command += ["--appendonly", "yes" if self._kept else "no", "--appendfsync", "always"]
        self._process = subprocess.Popen(command, cwd=self._folder, stdout=subprocess.DEVNULL)
        with redis.Redis.from_url(self.url) as client:
            for _ in range(200):
                try:
                    client.ping()
                    return
                except redis.RedisError:
                    time.sleep(0.02)
        raise TimeoutError

    def kill(self) -> None:
        """End it without a warning."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None
