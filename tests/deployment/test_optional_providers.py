"""Each provider that the docs name and a plain installation leaves out installs and imports with constraints.txt.

Minutes of downloads: RECSYNC_LONG_TESTS=1 installs them. That the docs and the pins agree is tested every time.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
# Type of the connection: the provider that opens it.
WAREHOUSES = {
    "snowflake": "apache-airflow-providers-snowflake",
    "gcpbigquery": "apache-airflow-providers-google",
    "trino": "apache-airflow-providers-trino",
    "mssql": "apache-airflow-providers-microsoft-mssql",
    "mysql": "apache-airflow-providers-mysql",
}
FAB = "apache-airflow-providers-fab"
GIT = "apache-airflow-providers-git"
LONG = pytest.mark.skipif(
    not os.environ.get("RECSYNC_LONG_TESTS"), reason="takes long: RECSYNC_LONG_TESTS=1 runs it"
)
INSTALL_SECONDS = 1800


def test_the_docs_name_the_optional_providers_and_no_others() -> None:
    optional = set(re.findall(r"^([\w-]+)", (REPO / "requirements-optional.txt").read_text(), re.MULTILINE))
    # benchmarks.md names the versions of what was measured.
    pages = [page for page in (REPO / "docs").glob("*.md") if page.name != "benchmarks.md"]
    docs = "".join(page.read_text() for page in pages)
    table = re.findall(
        r"^\| `(\w+)` \| `(apache-[\w-]+)`", (REPO / "docs/warehouse.md").read_text(), re.MULTILINE
    )

    assert optional == {*WAREHOUSES.values(), FAB, GIT}
    assert set(re.findall(r"apache-airflow-providers-[\w-]+", docs)) == optional
    assert dict(table) == WAREHOUSES


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install recsync's requirements and all optional providers, as the docs say; give that Python."""
    folder = tmp_path_factory.mktemp("optional") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    files = ["--requirement", "requirements.txt", "--requirement", "requirements-optional.txt"]
    command = [str(python), "-m", "pip", "install", "--quiet", *files, "--constraint", "constraints.txt"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    if "mysqlclient" in done.stderr and done.returncode:
        pytest.skip(
            "MySQL's client library is missing: apt-get install default-libmysqlclient-dev pkg-config"
        )
    assert done.returncode == 0, done.stderr
    return python


def run(python: Path, code: str, environment: Mapping[str, str], home: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environ = {**inherited, "AIRFLOW_HOME": str(home), "PYTHONPATH": str(REPO / "plugins"), **environment}
    done = subprocess.run([python, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@LONG
@pytest.mark.timeout(INSTALL_SECONDS)
def test_nothing_installed_contradicts_another(installed: Path) -> None:
    done = subprocess.run([installed, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@LONG
@pytest.mark.timeout(INSTALL_SECONDS)
@pytest.mark.parametrize("conn_type", sorted(WAREHOUSES))
def test_a_connection_of_the_type_has_a_hook_that_reads_rows(
    conn_type: str, installed: Path, tmp_path: Path
) -> None:
    code = (
        "from recsync.warehouse.hooks import warehouse\n"
        "found = warehouse('warehouse')\n"
        "from recsync.warehouse.hooks.dbapi import provider_hook\n"
        f"assert provider_hook(found.connection).conn_type == {conn_type!r}\n"
    )
    run(installed, code, {"AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": conn_type})}, tmp_path)


@LONG
@pytest.mark.timeout(INSTALL_SECONDS)
def test_airflow_loads_the_auth_manager_of_fab(installed: Path, tmp_path: Path) -> None:
    name = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
    code = "from airflow.api_fastapi.app import get_auth_manager_cls as chosen; chosen()"
    run(installed, code, {"AIRFLOW__CORE__AUTH_MANAGER": name}, tmp_path)


@LONG
@pytest.mark.timeout(INSTALL_SECONDS)
def test_airflow_loads_the_bundle_of_git(installed: Path, tmp_path: Path) -> None:
    run(installed, "from airflow.providers.git.bundles.git import GitDagBundle", {}, tmp_path)
