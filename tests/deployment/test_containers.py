"""The compose file, started for real with Podman: make test-compose.

Its images are made here, for no registry is needed: container_images.py. What this cannot show: the real apache/airflow
image with the providers that it comes with, and Docker itself.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from compose_checks import VARIABLE, Deployment
from container_images import import_images, missing_tools, podman_environment, run

from stack.airflow_api import AirflowApi, wait_for

REPO = Path(__file__).resolve().parents[2]
WANTED = bool(os.environ.get("RECSYNC_COMPOSE_TESTS"))
LACKING = missing_tools() if WANTED else ""
PORTS = {"AIRFLOW_PORT": "18080", "BRAZE_LOCAL_PORT": "18082"}
START_SECONDS, CHAIN_SECONDS = 900, 2400
pytestmark = [
    pytest.mark.skipif(not WANTED, reason="takes long and needs root: make test-compose runs it"),
    pytest.mark.skipif(bool(LACKING), reason=f"containers need {LACKING}"),
    pytest.mark.timeout(3600),
]


class Compose:
    """A copy of the checkout, and its containers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "recsync"
        self.environ = podman_environment(folder)
        self.environment = Path(os.environ.get("RECSYNC_COMPOSE_ENVIRONMENT", REPO / ".venv"))
        self.storage = folder

    def __call__(self, *words: str) -> str:
        """Run podman-compose."""
        return run("podman-compose", "--profile", "local", *words, environ=self.environ, cwd=self.folder)

    def copy(self) -> None:
        """Copy what git knows, and write .env."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in run("git", "ls-files", "-z", cwd=REPO).strip("\0").split("\0"):
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPO / name, target)
        run("python3", "deploy/make_env.py", "--local", cwd=self.folder)
        settings = {**PORTS, "AIRFLOW__RECSYNC__WAITER_DELAY_SECONDS": "2"}
        with (self.folder / ".env").open("a") as file:
            file.writelines(f"\n{name}={value}" for name, value in settings.items())

    def container(self, service: str, number: int = 1) -> str:
        """Give the name of a service's container."""
        return f"recsync_{service}_{number}"

    def healthy(self, service: str, number: int = 1) -> bool:
        """Run a service's health check once."""
        command = ["podman", "healthcheck", "run", self.container(service, number)]
        return subprocess.run(command, env=self.environ, capture_output=True, check=False).returncode == 0

    def up(self, services: Mapping[str, Any]) -> None:
        """Start each service when those that it depends on are healthy, or have ended well.

        As Docker does. Podman 4.3 ignores health, and starts nothing that depends on a service that has ended.
        """
        conditions = {
            name: link["condition"]
            for service in services.values()
            for name, link in service.get("depends_on", {}).items()
        }
        started: set[str] = set()
        while len(started) < len(services):
            ready = [
                name
                for name, service in services.items()
                if name not in started and started >= service.get("depends_on", {}).keys()
            ]
            self("up", "--detach", "--no-deps", *ready)
            for name in ready:
                met = self.healthy if conditions.get(name) == "service_healthy" else self.ended_well
                if name in conditions:
                    wait_for(
                        lambda name=name, met=met: met(name),
                        f"{name}: {conditions[name]}",
                        timeout_seconds=START_SECONDS,
                    )
            started.update(ready)

    def ended_well(self, service: str) -> bool:
        """Say whether a service has done its work."""
        asked = ("--format", "{{.State.Status}} {{.State.ExitCode}}", self.container(service))
        return run("podman", "inspect", *asked, environ=self.environ).split() == ["exited", "0"]

    def variable(self, name: str) -> str:
        found = re.search(rf"^{name}='?([^'\n]+)", (self.folder / ".env").read_text(), re.MULTILINE)
        assert found
        return found[1]


@pytest.fixture(scope="module")
def compose(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    folder = Path(os.environ.get("RECSYNC_COMPOSE_FOLDER") or tmp_path_factory.mktemp("compose"))
    running = Compose(folder)
    running.copy()
    images = {service["image"] for service in deployment.services.values() if "build" not in service}
    base = re.findall(r"^FROM (\S+:\S+)", deployment.dockerfile, re.MULTILINE)
    import_images(folder, running.environment, sorted(images | set(base)), running.environ)
    running("down", "--volumes")  # of a test that was killed
    try:
        # One service for each image: podman-compose would build every service's at the same time.
        for service in ("airflow-apiserver", "local-s3"):
            running("build", service)
        running.up(deployment.services)
        yield running
    finally:
        running("down", "--volumes")


@pytest.fixture(scope="module")
def api(compose: Compose) -> AirflowApi:
    url = f"http://127.0.0.1:{PORTS['AIRFLOW_PORT']}"

    def answers() -> bool:
        try:
            return requests.get(f"{url}/api/v2/version", timeout=10).ok
        except requests.RequestException:
            return False

    wait_for(answers, "the API server", timeout_seconds=START_SECONDS, poll_seconds=2)
    return AirflowApi(url, "admin", compose.variable("AIRFLOW_ADMIN_PASSWORD"))


def test_every_service_passes_its_health_check(
    compose: Compose, api: AirflowApi, deployment: Deployment
) -> None:
    for name, service in deployment.services.items():
        # Of the worker there are two.
        replicas = VARIABLE.sub(r"\3", str(service.get("deploy", {}).get("replicas", 1)))
        for number in range(1, int(replicas) + 1):
            if "healthcheck" in service:
                wait_for(
                    lambda name=name, number=number: compose.healthy(name, number),
                    f"a healthy {name} {number}",
                    timeout_seconds=START_SECONDS,
                )


def test_the_chain_runs_from_training_to_braze_through_a_restart_of_redis(
    compose: Compose, api: AirflowApi
) -> None:
    stages = ("train_full", "recommend", "push")
    wait_for(
        lambda: {f"grocery_{stage}" for stage in stages} <= {dag["dag_id"] for dag in api.dags()},
        "the DAGs",
        timeout_seconds=START_SECONDS,
    )
    for stage in stages:
        api.unpause(f"grocery_{stage}")
    trained = api.trigger("grocery_train_full")["dag_run_id"]
    time.sleep(10)
    run("podman", "restart", compose.container("redis"), environ=compose.environ)

    done = api.wait_for_run("grocery_train_full", trained, timeout_seconds=CHAIN_SECONDS)
    assert done["state"] == "success", failed(api, "grocery_train_full", trained)
    for stage in stages[1:]:
        runs = wait_for(
            lambda stage=stage: api.dag_runs(f"grocery_{stage}"), f"a run of {stage}", timeout_seconds=300
        )
        done = api.wait_for_run(f"grocery_{stage}", runs[0]["dag_run_id"], timeout_seconds=CHAIN_SECONDS)
        assert done["state"] == "success", failed(api, f"grocery_{stage}", runs[0]["dag_run_id"])
    report = api.xcom("grocery_push", runs[0]["dag_run_id"], "deliver")
    assert report["outcomes"]["sent"] > 0


def failed(api: AirflowApi, dag_id: str, run_id: str) -> dict[str, Any]:
    return {task["task_id"]: task["state"] for task in api.task_instances(dag_id, run_id)}
