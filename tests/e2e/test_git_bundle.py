"""Programs in a Git DAG bundle: a push changes the next run without a restart, and a running DAG keeps its version.

RECSYNC_LONG_TESTS=1 runs it where ``apache-airflow-providers-git`` is installed: it starts an Airflow of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from services import REPO, free_port

from stack.airflow_api import AirflowApi, wait_for

pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not os.environ.get("RECSYNC_LONG_TESTS"), reason="takes long: RECSYNC_LONG_TESTS=1 runs it"
    ),
    pytest.mark.skipif(
        find_spec("airflow.providers.git") is None,
        reason="pip install apache-airflow-providers-git -c constraints.txt",
    ),
]
PROGRAM = "grocery"
WAIT_SECONDS = 400
# Beside the DAG files of recsync: reads what a stage reads, waits for the test, and reads again.
PROBE = """
import time
from pathlib import Path

from recsync import settings
from recsync.airflow_tasks import task
from recsync.dag_kit import programs, stage_dag


def read(program):
    query = settings.include_folder() / "sql" / program / "users.sql"
    return {"description": settings.program(program).description, "sql": query.read_text()}


@task(multiple_outputs=False)
def first(program, go):
    before = read(program)
    Path(go + ".begun").touch()
    for _ in range(600):
        if Path(go).exists():
            return before
        time.sleep(0.5)
    raise TimeoutError(go)


@task(multiple_outputs=False)
def second(program, before):
    return read(program)


for program in programs("probe", __file__):
    with stage_dag(program, "probe", schedule=None, doc_md=program.description):
        second(program.name, first(program.name, "{{ params.go }}"))
"""
PROBE = PROBE.replace("schedule=None, doc_md", "schedule=None, params={'go': ''}, doc_md")


@dataclass
class Bundle:
    """A work tree, the bare repository that Airflow reads, and that Airflow."""

    work: Path
    api: AirflowApi

    def push(self, description: str, sql: str) -> None:
        """Change the program file and a query, and push them."""
        path = self.work / "include" / "programs" / f"{PROGRAM}.yaml"
        path.write_text(
            yaml.safe_dump(yaml.safe_load(path.read_text()) | {"description": description}, sort_keys=False)
        )
        (self.work / "include" / "sql" / PROGRAM / "users.sql").write_text(sql)
        commit(self.work, description)

    def wait_until_parsed(self, description: str) -> None:
        def parsed() -> bool:
            known = self.api.dag(f"{PROGRAM}_probe")
            return bool(known) and description in str(self.api.dag_details(f"{PROGRAM}_probe")["doc_md"])

        wait_for(parsed, f"Airflow to read {description!r}", timeout_seconds=WAIT_SECONDS)


def commit(work: Path, message: str) -> None:
    git(work, "add", "--all")
    git(
        work, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "--message", message
    )
    git(work, "push", "--quiet", "origin", "main")


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    folder = tmp_path_factory.mktemp("bundle")
    bare, work, home = folder / "programs.git", folder / "work", folder / "airflow"
    git(folder, "init", "--quiet", "--bare", "--initial-branch", "main", str(bare))
    git(folder, "clone", "--quiet", str(bare), str(work))
    git(work, "checkout", "--quiet", "-B", "main")
    (work / "dags").mkdir()
    shutil.copy(REPO / "dags" / "export.py", work / "dags")
    shutil.copytree(REPO / "include", work / "include")
    (work / "dags" / "probe.py").write_text(PROBE)
    commit(work, "Begin")

    home.mkdir()
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({"admin": "secret"}))
    port = free_port()
    config = [
        {
            "name": "programs",
            "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
            "kwargs": {
                "repo_url": str(bare),
                "tracking_ref": "main",
                "subdir": "dags",
                "refresh_interval": 5,
            },
        }
    ]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "AWS_", "STACK_"))}
    environ = {
        **kept,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPO / "plugins"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "none"),
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API_AUTH__JWT_SECRET": "s" * 64,
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(config),
        "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "2",
        # By default below the machine's temporary folder, where another run's clone of the same name may be.
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(folder / "bundles"),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
    }
    with (folder / "airflow.log").open("w") as log:
        airflow = subprocess.Popen(
            ["airflow", "standalone"],
            env=environ,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        try:
            yield Bundle(work, AirflowApi(f"http://127.0.0.1:{port}", "admin", "secret"))
        finally:
            airflow.send_signal(signal.SIGINT)
            try:
                airflow.wait(60)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(airflow.pid, signal.SIGKILL)


def healthy(api: AirflowApi) -> bool:
    try:
        found = api.health()
    except Exception:  # ruff: ignore[blind-except] - not yet listening
        return False
    return all(found[part]["status"] == "healthy" for part in ("scheduler", "dag_processor"))


def read_by(api: AirflowApi, run: str, task: str) -> Any:
    return api.xcom(f"{PROGRAM}_probe", run, task)


def test_a_push_changes_the_next_run_and_not_the_running_one(bundle: Bundle, tmp_path: Path) -> None:
    api, dag_id = bundle.api, f"{PROGRAM}_probe"
    wait_for(lambda: healthy(api), "Airflow", timeout_seconds=WAIT_SECONDS)
    bundle.push("as it was", "SELECT 1 AS user_id")
    bundle.wait_until_parsed("as it was")

    go = str(tmp_path / "go")
    running = api.trigger(dag_id, {"go": go})
    wait_for(lambda: Path(f"{go}.begun").exists(), "the run to begin", timeout_seconds=WAIT_SECONDS)
    bundle.push("as it is now", "SELECT 2 AS user_id")
    bundle.wait_until_parsed("as it is now")
    Path(go).touch()
    assert api.wait_for_run(dag_id, running["dag_run_id"], timeout_seconds=WAIT_SECONDS)["state"] == "success"
    old = {"description": "as it was", "sql": "SELECT 1 AS user_id"}
    assert (
        read_by(api, running["dag_run_id"], "first") == read_by(api, running["dag_run_id"], "second") == old
    )

    later = api.trigger(dag_id, {"go": go})
    assert api.wait_for_run(dag_id, later["dag_run_id"], timeout_seconds=WAIT_SECONDS)["state"] == "success"
    assert read_by(api, later["dag_run_id"], "second") == {
        "description": "as it is now",
        "sql": "SELECT 2 AS user_id",
    }
    assert not api.import_errors()
    assert {dag["dag_id"] for dag in api.dags(tag=PROGRAM)} == {dag_id, f"{PROGRAM}_export"}
