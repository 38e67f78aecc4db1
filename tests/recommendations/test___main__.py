"""The service as it runs: its processes, over HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from published_shop import Shop

REPO = Path(__file__).resolve().parents[2]
_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Service:
    port: int
    metrics_port: int
    key: str
    log: Path

    def get(self, path: str, port: int | None = None) -> tuple[int, bytes]:
        url = f"http://127.0.0.1:{port or self.port}{path}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.key}"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def items(self, user: str) -> list[str]:
        status, body = self.get(f"/recommendations?user_id={user}")
        assert status == 200, body
        return [item["id"] for item in json.loads(body)]

    def wait(self, done: Callable[[], Any]) -> None:
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            try:
                if done():
                    return
            except OSError:
                pass
            time.sleep(0.05)
        pytest.fail(self.log.read_text())


def environment(s3_url: str) -> dict[str, str]:
    return {
        **os.environ, "PYTHONPATH": f"{REPO / 'services'}:{REPO / 'plugins'}", "AWS_ENDPOINT_URL_S3": s3_url,
        "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip


def command(shop: Shop, *options: str) -> list[str]:
    words = ["--data", str(shop.settings.data), "--keys", str(shop.settings.keys)]
    words += ["--include", str(shop.include), "--bucket", str(shop.settings.bucket), *options]
    return [sys.executable, "-m", "recommendations", *words]


@contextmanager
def running(shop: Shop, s3_url: str, *options: str) -> Generator[Service]:
    service = Service(free_port(), free_port(), shop.key, shop.include / "log")
    words = ["--port", str(service.port), "--metrics-port", str(service.metrics_port), *options]
    with service.log.open("w") as log:
        process = subprocess.Popen(
            command(shop, *words), env=environment(s3_url), stdout=log, stderr=subprocess.STDOUT
        )
    try:
        service.wait(lambda: process.poll() is not None or service.get("/healthz")[0] == 200)
        assert process.poll() is None, service.log.read_text()
        yield service
    finally:
        process.terminate()
        process.wait(_SECONDS)


def test_two_workers_serve_follow_and_forget_and_a_restart_needs_no_s3(shop: Shop, s3_url: str) -> None:
    people = {"ann": ["i2"], "bob-3382": ["i1"]}
    shop.publish(lists=people, users={"ann": "u-ann", "bob-3382": "u-bob-3382"})
    with running(shop, s3_url, "--workers", "2") as service:
        # Each worker opens the first publication itself, so one may be ready before the other.
        service.wait(lambda: {service.get("/recommendations?user_id=ann")[0] for _ in range(20)} == {200})
        assert [service.items(person) for person in people] == [["i2"], ["i1"]]
        shop.suppress(["u-bob-3382"], ["bob-3382"])
        service.wait(lambda: service.items("bob-3382") == [])
        service.wait(lambda: b"bob-3382" not in shop.bytes_on_disk())
        assert {tuple(service.items("bob-3382")) for _ in range(20)} == {()}, "in no worker"
        text = service.get("/metrics", service.metrics_port)[1].decode()
        assert 'recommendations_answers_total{program="shop",source="list"}' in text
        assert 'recommendations_suppression_checked_timestamp_seconds{program="shop"}' in text
        with pytest.raises(subprocess.CalledProcessError) as caught:
            subprocess.run(command(shop), env=environment(s3_url), check=True, capture_output=True, text=True)
        assert "is used by another service; give each one a --data of its own" in caught.value.stderr
        logged = service.log.read_text()
        assert "bob-3382" not in logged
    with running(shop, "http://127.0.0.1:9") as service:
        assert service.items("ann") == ["i2"]
        assert service.items("bob-3382") == []


def test_what_cannot_be_started_says_why(shop: Shop, s3_url: str) -> None:
    shop.settings.keys.unlink()
    done = subprocess.run(command(shop), env=environment(s3_url), check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: Cannot read ")
    assert "recommendations.keys new --file" in done.stderr


def test_no_process_of_the_service_imports_airflow() -> None:
    code = (
        "import sys, recommendations.__main__, recommendations.app, recommendations.updates, recommendations.keys\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] == 'airflow'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(""), check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"
