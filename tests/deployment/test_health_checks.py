"""The health checks of docker-compose.yaml, run by the shell against servers that are started here."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from compose_checks import Deployment

READY_WITHIN_SECONDS = 120
HEARTBEATS = {
    "metadatabase": None,
    "scheduler": "latest_scheduler_heartbeat",
    "triggerer": "latest_triggerer_heartbeat",
    "dag_processor": "latest_dag_processor_heartbeat",
}


def health_check(deployment: Deployment, service: str) -> str:
    """Give the line that the container's shell runs."""
    kind, line = deployment.services[service]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    return line.replace("$$", "$")


def passes(line: str, **environment: str) -> bool:
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **environment}
    return subprocess.run(["sh", "-c", line], env=environ, capture_output=True, check=False).returncode == 0


@contextmanager
def answering(body: bytes) -> Generator[str]:
    """Serve one answer to everything; give the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.mark.parametrize("component", ["dag-processor", "triggerer"])
def test_a_component_is_healthy_when_the_api_server_says_so(component: str, deployment: Deployment) -> None:
    from airflow.api_fastapi.core_api.datamodels.monitor import HealthInfoResponse

    line = health_check(deployment, f"airflow-{component}")
    found = {}
    for status in ("healthy", "unhealthy", None):
        others = "unhealthy" if status == "healthy" else "healthy"
        health = {
            part: {
                "status": status if part == component.replace("-", "_") else others,
                **({beat: None} if beat else {}),
            }
            for part, beat in HEARTBEATS.items()
        }
        with answering(HealthInfoResponse.model_validate(health).model_dump_json().encode()) as address:
            found[status] = passes(line.replace("http://airflow-apiserver:8080", address))

    assert found == {"healthy": True, "unhealthy": False, None: False}
    assert not passes(line)  # nothing answers


@contextmanager
def running(command: list[str], **environment: str) -> Generator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def eventually(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while time.monotonic() < deadline:
        if is_so():
            return True
        time.sleep(0.2)
    return False


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.skipif(not shutil.which("redis-server"), reason="no Redis here: apt-get install redis-server")
def test_the_queue_outlives_redis_and_the_worker_answers_its_health_check(
    deployment: Deployment, tmp_path: Path
) -> None:
    """Redis is started by the compose file's own line; a Celery worker stands for Airflow's."""
    import celery
    import redis

    port = free_port()
    url = f"redis://:secret@127.0.0.1:{port}/0"
    described = deployment.services["redis"]
    *shell, script = described["command"]
    assert any(volume.endswith(":/data") for volume in described["volumes"])
    script = (
        script.replace("$$", "$").replace("/tmp/", f"{tmp_path}/").replace("dir /data", f"dir {tmp_path}")
    )
    command = [*shell, f"{script.strip()} --port {port}"]
    ping = f"redis-cli -p {port} ping | grep -q PONG"
    queued = celery.Celery(broker=url)

    with running(command, REDIS_PASSWORD="secret"):
        assert eventually(lambda: passes(ping, REDISCLI_AUTH="secret"))
        queued.send_task("anything", queue="default")
        time.sleep(1.1)  # Redis writes its file once a second
    with running(command, REDIS_PASSWORD="secret"):
        assert eventually(lambda: passes(ping, REDISCLI_AUTH="secret"))
        assert redis.Redis.from_url(url).llen("default") == 1

        line = health_check(deployment, "airflow-worker")
        assert not passes(line, AIRFLOW__CELERY__BROKER_URL=url)
        worker = [sys.executable, "-m", "celery", "worker", "--concurrency", "1", "--queues", "other"]
        with running(worker, CELERY_BROKER_URL=url):
            assert eventually(lambda: passes(line, AIRFLOW__CELERY__BROKER_URL=url))
