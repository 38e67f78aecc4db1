"""Start servers as processes and call them over HTTP."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests

LOCAL = Path(__file__).resolve().parents[2] / "local"
KEY = "test-key"
TIMEOUT_SECONDS = 20


class BrazeServer:
    """Start one server process and call it with one key."""

    def __init__(self, data: Path, *flags: str, keys: tuple[str, ...] = (KEY,), path: str = "") -> None:
        self.data = data
        self.process = subprocess.Popen(
            [sys.executable, "-m", "braze_local", "--port", "0", "--data", str(data), *flags],
            env={
                **os.environ,
                "PYTHONPATH": ":".join(filter(None, (str(LOCAL), path))),
                "BRAZE_LOCAL_KEY": " ".join(keys),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.ready_line = self.process.stdout.readline()
        found = re.search(r"http://\S+", self.ready_line)
        if found is None:
            raise RuntimeError(self.process.communicate()[1])
        self.url = found[0]
        self.session = requests.Session()
        self.key = KEY

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        options.setdefault("headers", {"Authorization": f"Bearer {self.key}"})
        if body is not None:
            options["json"] = body
        return self.session.request(method, self.url + path, timeout=TIMEOUT_SECONDS, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        return self.call("POST", path, body, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.call("GET", path, **options)

    def track(self, *attributes: dict[str, Any], **arrays: list[Any]) -> requests.Response:
        body: dict[str, Any] = {"attributes": list(attributes)} if attributes else {}
        return self.post("/users/track", body | arrays)

    def flush(self) -> None:
        assert self.post("/_local/flush").status_code == 200

    def applied(self, *attributes: dict[str, Any], **arrays: list[Any]) -> requests.Response:
        """Track, then apply."""
        response = self.track(*attributes, **arrays)
        assert response.status_code == 201, response.text
        self.flush()
        return response

    def profile(self, external_id: str) -> dict[str, Any]:
        response = self.get(f"/_local/profiles/{external_id}")
        assert response.status_code == 200, response.text
        return dict(response.json())

    def custom(self, external_id: str) -> dict[str, Any]:
        return dict(self.profile(external_id)["custom_attributes"])

    def adjust(self, **settings: Any) -> dict[str, Any]:
        """Change settings of the running server and return all of them."""
        response = self.call("PATCH", "/_local/settings", settings)
        assert response.status_code == 200, response.text
        return dict(response.json())

    def meter(self) -> dict[str, Any]:
        return dict(self.get("/_local/meter").json())

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait, and return the exit status."""
        self.session.close()
        self.process.send_signal(number)
        self.process.communicate(timeout=TIMEOUT_SECONDS)
        return self.process.returncode


Start = Callable[..., BrazeServer]


@pytest.fixture(scope="session")
def braze(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrazeServer]:
    """Start a server without rate limits that applies requests only at a flush."""
    flags = ["--rate-limit-dialect", "none", "--apply-delay-seconds", "600"]
    # Tests share this server and name their attributes as they like.
    server = BrazeServer(tmp_path_factory.mktemp("braze"), *flags, "--type-locks", "off")
    yield server
    server.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a server; `data` is its directory in `tmp_path`."""
    started: list[BrazeServer] = []

    def run(*flags: str, data: str = "data", **options: Any) -> BrazeServer:
        started.append(BrazeServer(tmp_path / data, *flags, **options))
        return started[-1]

    yield run
    for server in started:
        if server.process.poll() is None:
            server.stop()


_numbers = count(1)


@pytest.fixture
def user() -> str:
    """Return an unused external_id."""
    return f"user-{next(_numbers)}"


@pytest.fixture
def catalog_name() -> str:
    """Return an unused catalog name."""
    return f"catalog_{next(_numbers)}"
