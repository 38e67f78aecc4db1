"""What can be known of the deployment files without a container engine."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import compose_checks
import pytest
from compose_checks import Deployment
from packaging.specifiers import SpecifierSet

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def known_settings() -> dict[str, set[str]]:
    from airflow.configuration import conf
    from airflow.providers_manager import ProvidersManager

    ProvidersManager().initialize_providers_configuration()
    return {
        section: set(description["options"])
        for section, description in conf.configuration_description.items()
    }


@pytest.fixture(scope="module")
def airflow_parser():
    from airflow.cli.cli_parser import get_parser

    return get_parser()


def problems(deployment: Deployment, known_settings: dict[str, set[str]]) -> list[str]:
    return [
        *compose_checks.references(deployment),
        *compose_checks.service_rules(deployment),
        *compose_checks.secrets_rules(deployment),
        *compose_checks.setting_names(deployment, known_settings),
        *compose_checks.dockerfile_rules(deployment),
    ]


def schema_check(path: Path) -> subprocess.CompletedProcess[str]:
    command = ["check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)


def test_the_compose_file_follows_the_compose_specification(deployment: Deployment, tmp_path: Path) -> None:
    done = schema_check(REPO / "docker-compose.yaml")
    assert done.returncode == 0, done.stdout

    broken = tmp_path / "docker-compose.yaml"
    broken.write_text(deployment.compose.replace("    healthcheck:", "    healtcheck:", 1))
    assert "healtcheck" in schema_check(broken).stdout


def test_the_files_agree_with_each_other(deployment: Deployment, known_settings: dict[str, set[str]]) -> None:
    assert problems(deployment, known_settings) == []


# What stands after the name of every secret.
REQUIRED = ":?run python deploy/make_env.py first"

# Name of the mistake: what stands in the file, what it is changed to, and what the checks then say.
COMPOSE_MISTAKES = {
    "unknown service": (
        "airflow-apiserver:\n        condition",
        "airflow-api:\n        condition",
        "airflow-api, which",
    ),
    "health without healthcheck": (
        "test: [CMD, pg_isready",
        "disable: [CMD, pg_isready",
        "without a healthcheck",
    ),
    "restarted init": (
        '    restart: "no"\n    depends_on:\n      postgres',
        "    depends_on:\n      postgres",
        "restarted",
    ),
    "profile only": (
        "      postgres:\n        condition",
        "      local-s3:\n        condition",
        "only a profile",
    ),
    "loop": (
        "      postgres:\n        condition: service_healthy\n\n",
        "      airflow-apiserver:\n        condition: service_healthy\n\n",
        "depends on itself",
    ),
    "undeclared volume": ("- airflow-logs:/", "- airflow-log:/", "airflow-log is used but not declared"),
    "unused volume": (
        "volumes:\n  airflow-logs:",
        "volumes:\n  old-logs:\n  airflow-logs:",
        "old-logs is declared",
    ),
    "missing bind mount": ("- airflow-logs:/", "- ./log-files:/", "./log-files does not exist"),
    "missing env_file": (
        "    user: redis",
        "    user: redis\n    env_file: connections.env",
        "connections.env does not",
    ),
    "undeclared secret": (
        "    user: redis",
        "    user: redis\n    secrets: [redis]",
        "secrets: redis is used",
    ),
    "undeclared network": (
        "    user: redis",
        "    user: redis\n    networks: [back]",
        "networks: back is used",
    ),
    "unknown target": ("target: local", "target: locally", "no target locally"),
    "open port": ("- 127.0.0.1:${AIRFLOW", "- ${AIRFLOW", "not bound to 127.0.0.1"),
    "host network": ("    user: redis", "    user: redis\n    network_mode: host", "publishes every port"),
    "no tag": ("image: redis:7.2-bookworm", "image: redis", "'redis' has no tag"),
    "latest": ("image: redis:7.2-bookworm", "image: redis:latest", "'redis:latest'"),
    "no restart": (
        "    restart: unless-stopped\n    logging: *logging\n\n  redis",
        "    logging: *logging\n\n  redis",
        "no restart policy",
    ),
    "worker without a limit": ("    mem_limit: ${WORKER_MEMORY:-6g}\n", "", "no memory limit"),
    "spilling into the container": (
        "airflow-worker-tmp:/opt/airflow/tmp",
        "airflow-worker-tmp:/opt/airflow/other",
        "TMPDIR is on no volume",
    ),
    "default for a secret": (
        "{REDIS_PASSWORD" + REQUIRED + "}@",
        "{REDIS_PASSWORD:-redis}@",
        "REDIS_PASSWORD: a",
    ),
    "optional secret": (
        "{AIRFLOW_JWT_SECRET" + REQUIRED + "}",
        "{AIRFLOW_JWT_SECRET}",
        "AIRFLOW_JWT_SECRET: a",
    ),
    "secret passed through": (
        "FERNET_KEY: ${AIRFLOW_FERNET_KEY" + REQUIRED + "}",
        "FERNET_KEY:",
        "FERNET_KEY is not required",
    ),
    "fixed secret": ("FERNET_KEY: ${AIRFLOW_FERNET_KEY" + REQUIRED + "}", "FERNET_KEY: abc", "fixed value"),
    "fixed password in an address": (":${REDIS_PASSWORD" + REQUIRED + "}@", ":redis@", "inside an address"),
    "undocumented variable": ("WORKER_CONCURRENCY:-4", "SLOTS:-4", "SLOTS: not in .env.example"),
    "no setting of Airflow": (
        "AIRFLOW__API__SECRET_KEY",
        "AIRFLOW__WEBSERVER__SECRET_KEY",
        "WEBSERVER__SECRET_KEY is no setting",
    ),
    "no setting of recsync": ("RECSYNC__BUCKET:", "RECSYNC__BUCKETS:", "RECSYNC__BUCKETS is no setting"),
}


@pytest.mark.parametrize("mistake", COMPOSE_MISTAKES)
def test_a_mistake_in_the_compose_file_is_caught(
    mistake: str, deployment: Deployment, known_settings: dict[str, set[str]]
) -> None:
    right, wrong, message = COMPOSE_MISTAKES[mistake]
    assert right in deployment.compose

    found = problems(replace(deployment, compose=deployment.compose.replace(right, wrong, 1)), known_settings)

    assert message in "\n".join(found)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("*airflow-environment", "*airflow-settings"),
        ("  redis:\n", "  postgres:\n"),
        ("services:", "services"),
    ],
)
def test_a_broken_anchor_a_repeated_service_and_bad_yaml_are_caught(
    right: str, wrong: str, deployment: Deployment
) -> None:
    import yaml

    with pytest.raises(yaml.YAMLError):
        replace(deployment, compose=deployment.compose.replace(right, wrong, 1)).document  # ruff: ignore[useless-expression] - reading parses


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        (" plugins /opt", " plugin /opt", "plugin does not exist"),
        ("FROM apache/airflow:3.3.2-python3.11", "FROM apache/airflow", "no tag"),
        ("FROM apache/airflow:3.3.2-python3.11", "FROM apache/airflow:latest", "tag latest"),
        ("AS local", "AS stack", "no target local"),
        (" include /opt", " docs /opt", ".dockerignore leaves docs out"),
    ],
)
def test_a_mistake_in_the_dockerfile_is_caught(
    right: str, wrong: str, message: str, deployment: Deployment
) -> None:
    broken = replace(deployment, dockerfile=deployment.dockerfile.replace(right, wrong, 1))
    assert message in "\n".join(compose_checks.dockerfile_rules(broken))


def test_an_open_dockerignore_is_caught(deployment: Deployment) -> None:
    broken = replace(deployment, ignore=deployment.ignore.replace("*\n", "", 1))
    assert ".env into the image" in "\n".join(compose_checks.dockerfile_rules(broken))


def test_a_setting_of_recsync_is_read_by_recsync() -> None:
    code = "\n".join(path.read_text() for path in (REPO / "plugins").rglob("*.py"))
    # What knows no Airflow reads the variable by its name.
    assert [
        name
        for name in compose_checks.RECSYNC_SETTINGS
        if f'"{name}"' not in code and f'"AIRFLOW__RECSYNC__{name.upper()}"' not in code
    ] == []


def test_the_image_has_the_versions_that_the_constraints_pin(deployment: Deployment) -> None:
    base = deployment.dockerfile.partition("FROM apache/airflow:")[2].split()[0]
    version, _, python = base.partition("-python")
    pins = (REPO / "constraints.txt").read_text().splitlines()

    assert f"apache-airflow=={version}" in pins
    promised = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["requires-python"]
    assert f"{python}.0" in SpecifierSet(promised)


def test_every_airflow_command_is_one_that_airflow_has(deployment: Deployment, airflow_parser) -> None:
    commands = list(compose_checks.airflow_commands(deployment))
    for _, arguments in commands:
        airflow_parser.parse_args(arguments)
    assert {arguments[0] for _, arguments in commands} == {
        "api-server", "scheduler", "dag-processor", "celery", "triggerer", "db",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("exec airflow scheduler", "exec airflow schedule"),
        ("exec airflow api-server", "exec airflow webserver"),
        ("command: triggerer", "command: triggers"),
    ],
)
def test_an_unknown_airflow_command_is_caught(
    right: str, wrong: str, deployment: Deployment, airflow_parser
) -> None:
    broken = replace(deployment, compose=deployment.compose.replace(right, wrong, 1))
    commands = [arguments for _, arguments in compose_checks.airflow_commands(broken)]
    with pytest.raises(SystemExit):
        list(map(airflow_parser.parse_args, commands))


def test_the_scheduler_reads_the_settings_that_airflow_describes_nowhere() -> None:
    import airflow.jobs.scheduler_job_runner

    code = Path(airflow.jobs.scheduler_job_runner.__file__).read_text()
    assert [
        name for name in compose_checks.UNDOCUMENTED_SETTINGS["scheduler"] if f'"{name}"' not in code
    ] == []


@pytest.mark.parametrize("service", ["airflow-scheduler", "airflow-init"])
@pytest.mark.parametrize(("workers", "slots"), [("2", "4"), ("3", "8")])
def test_no_more_tasks_are_queued_than_the_workers_have_slots(
    service: str, workers: str, slots: str, deployment: Deployment
) -> None:
    """Or a task that waits for a slot is taken for a lost one after the time-out of queued tasks."""
    bash, flag, line = shlex.split(deployment.services[service]["command"].replace("$$", "$"))
    # What follows the first && sees the figure; print it instead.
    shown = line.partition("&&")[0] + '&& printf %s "$AIRFLOW__CORE__PARALLELISM"'
    environ = {"WORKERS": workers, "AIRFLOW__CELERY__WORKER_CONCURRENCY": slots, "PATH": os.environ["PATH"]}
    done = subprocess.run([bash, flag, shown], env=environ, capture_output=True, text=True, check=True)
    assert int(done.stdout) == int(workers) * int(slots)


def test_the_scheduler_counts_as_many_workers_as_are_started(deployment: Deployment) -> None:
    worker = deployment.services["airflow-worker"]
    assert worker["deploy"]["replicas"] == "${WORKERS:-2}"
    assert all(
        service["environment"]["WORKERS"] == worker["deploy"]["replicas"]
        for name, service in deployment.services.items()
        if name.startswith("airflow-")
    )


def test_pools_are_named_where_they_are_created(deployment: Deployment) -> None:
    """A task whose pool does not exist never starts."""
    assert deployment.services["airflow-scheduler"]["environment"]["AIRFLOW__RECSYNC__POOLS"] == "true"
    migrated, _, rest = deployment.services["airflow-init"]["command"].partition("airflow db migrate && ")
    assert migrated
    assert "/opt/airflow/deploy/create_pools.py" in rest
    assert dict(compose_checks.copies(deployment))["deploy/create_pools.py"] in rest


def test_a_worker_removes_what_killed_tasks_left_and_keeps_what_is_new(
    deployment: Deployment, tmp_path: Path
) -> None:
    bash, flag, line = shlex.split(deployment.services["airflow-worker"]["command"].replace("$$", "$"))
    old, new = tmp_path / "recsync-lists-old" / "rows", tmp_path / "recsync-lists-new" / "rows"
    for path in (old, new):
        path.parent.mkdir()
        path.write_text("rows")
    for path in (old, old.parent):
        os.utime(path, (time.time() - 3 * 86400,) * 2)
    environ = {"TMPDIR": str(tmp_path), "PATH": os.environ["PATH"]}
    subprocess.run([bash, flag, line.partition(";")[0]], env=environ, capture_output=True, check=True)
    assert list(tmp_path.rglob("rows")) == [new]
