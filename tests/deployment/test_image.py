"""What the image would hold, laid out in a folder: the files that are copied, under Compose's environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import compose_checks
import pytest
from compose_checks import VARIABLE, Deployment
from make_env import env_text

REPO = Path(__file__).resolve().parents[2]
HOME = "/opt/airflow"
READY_WITHIN_SECONDS = 60


@pytest.fixture(scope="module")
def image(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out what the Dockerfile copies, in a folder that stands for /opt/airflow."""
    folder = tmp_path_factory.mktemp("image")
    for source, target in compose_checks.copies(deployment):
        if not target.startswith(HOME):
            continue  # of the recommendations service, which has an image of its own
        place = folder / Path(target).relative_to(HOME)
        place.parent.mkdir(parents=True, exist_ok=True)
        if (REPO / source).is_dir():
            shutil.copytree(REPO / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(REPO / source, place)
    return folder


@pytest.fixture(scope="module")
def dotenv() -> dict[str, str]:
    """Read the .env that make_env.py --local writes, as Compose does."""
    text = env_text((REPO / ".env.example").read_text(), local=True)
    return {name: value.strip("'") for name, value in re.findall(r"^(\w+)=(.+)$", text, re.MULTILINE)}


def environment(deployment: Deployment, service: str, dotenv: dict[str, str], image: Path) -> dict[str, str]:
    """Give a service's environment as Compose would, with the folder in place of /opt/airflow."""
    values = {}
    for name, value in deployment.services[service].get("environment", {}).items():
        if value is None and name in dotenv:
            values[name] = dotenv[name]
        elif value is not None:
            text = VARIABLE.sub(lambda match: dotenv.get(match[1], match[3]), str(value))
            values[name] = text.replace(HOME, str(image))
    home = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**home, **values, "AIRFLOW_HOME": str(image), "PYTHONPATH": str(image / "local")}


@pytest.fixture
def airflow_environment(deployment: Deployment, dotenv: dict[str, str], image: Path) -> dict[str, str]:
    values = environment(deployment, "airflow-scheduler", dotenv, image)
    # No server answers here: the one thing changed is the database.
    return {**values, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{image / 'airflow.db'}"}


def test_airflow_in_the_image_imports_every_dag(airflow_environment: dict[str, str], image: Path) -> None:
    code = (
        "import json\n"
        "from airflow.dag_processing.dagbag import DagBag\n"
        "from airflow.sdk import Connection\n"
        "bag = DagBag()\n"
        "hosts = [Connection.get(c).host for c in ('warehouse', 'braze_default')]\n"
        "print('RESULT', json.dumps([bag.import_errors, sorted(bag.dags), hosts]))\n"
    )
    done = run([sys.executable, "-c", code], airflow_environment, image)
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]

    assert found, done.stderr
    errors, dags, hosts = json.loads(found[0].removeprefix("RESULT "))
    assert errors == {}
    assert {"grocery_export", "grocery_push"} <= set(dags)
    assert hosts == ["local-warehouse", "http://local-braze:5002"]


def test_airflow_in_the_image_finds_nothing_wrong_with_its_configuration(
    airflow_environment: dict[str, str], image: Path
) -> None:
    airflow = str(Path(sys.executable).with_name("airflow"))
    # Lint says of every executor that is not Airflow's new default that the default has changed.
    done = run([airflow, "config", "lint", "--ignore-option", "executor"], airflow_environment, image)
    assert "No issues found" in done.stdout, done.stdout + done.stderr


def run(command: list[str], environ: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, check=False)


def test_the_password_file_is_the_one_that_airflow_reads(
    deployment: Deployment, dotenv: dict[str, str], image: Path, tmp_path: Path
) -> None:
    command = deployment.services["airflow-apiserver"]["command"]
    script = re.search(rf"python {HOME}/(\S+) &&", command)
    assert script is not None
    environ = environment(deployment, "airflow-apiserver", dotenv, image)
    file = tmp_path / "passwords.json"
    environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"] = str(file)

    for _ in range(2):  # a restarted container finds the file of its last start
        done = run([sys.executable, str(image / script[1])], environ, tmp_path)
        assert done.returncode == 0, done.stderr

    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text()) == {"admin": dotenv["AIRFLOW_ADMIN_PASSWORD"]}
    users = environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"]
    assert users.split(":") == ["admin", "admin"]


def test_without_a_password_the_api_server_does_not_start(
    deployment: Deployment, dotenv: dict[str, str], image: Path, tmp_path: Path
) -> None:
    environ = environment(deployment, "airflow-apiserver", {**dotenv, "AIRFLOW_ADMIN_PASSWORD": ""}, image)
    environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"] = str(tmp_path / "passwords.json")
    done = run([sys.executable, str(image / "deploy/write_password_file.py")], environ, tmp_path)
    assert done.returncode == 1
    assert "AIRFLOW_ADMIN_PASSWORD must be set" in done.stderr


@contextmanager
def serving(command: list[str], environ: dict[str, str], folder: Path) -> Generator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=environ, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(READY_WITHIN_SECONDS)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("service", ["local-s3", "local-personalize", "local-braze"])
def test_a_service_of_profile_local_starts_and_answers_its_healthcheck(
    service: str, deployment: Deployment, dotenv: dict[str, str], image: Path, tmp_path: Path
) -> None:
    described = deployment.services[service]
    health = described["healthcheck"]["test"][-1]
    inner, port = re.search(r"http://localhost:(\d+)", health)[1], str(free_port())
    command = [
        word.replace("0.0.0.0", "127.0.0.1").replace(HOME, str(tmp_path))
        for word in described["command"].split()
    ]
    assert command[0] == "python"
    assert command.count(inner) == 1
    command = [sys.executable, *(port if word == inner else word for word in command[1:])]

    with serving(command, environment(deployment, service, dotenv, image), tmp_path) as process:
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with urllib.request.urlopen(health.replace(inner, port), timeout=5) as answer:
                    assert answer.status == 200
                    return
            except OSError:
                time.sleep(0.1)
    pytest.fail(f"{service} did not answer {health}; exit status {process.returncode}")


def test_the_connections_of_profile_local_name_its_services(
    deployment: Deployment, dotenv: dict[str, str]
) -> None:
    """Every address in .env is a service, at the port on which that service listens."""
    connections = " ".join(value for name, value in dotenv.items() if name.startswith("AIRFLOW_CONN_"))
    addresses = set(re.findall(r"http://([\w-]+):(\d+)", connections))
    for name, port in addresses:
        assert port in deployment.services[name]["command"].split()
    assert {name for name, _ in addresses} == {"local-s3", "local-personalize", "local-braze"}
    warehouse = json.loads(dotenv["AIRFLOW_CONN_WAREHOUSE"])
    server = deployment.services[warehouse["host"]]
    assert server["environment"]["POSTGRES_USER"] == warehouse["login"]
    assert server["environment"]["POSTGRES_DB"] == warehouse["schema"]
    assert dotenv["AIRFLOW__RECSYNC__BUCKET"] in deployment.services["local-s3-bucket"]["command"]
