"""Fixtures of the end-to-end tests: the local stack, a metadata database, and programs made on the spot."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from dag_runs import run_dag, xcoms
from services import Services, started
from shop import ROW_CONTENT, Shop


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Create Airflow's metadata database once."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Run the local stack for the whole session."""
    with started(tmp_path_factory.mktemp("stack")) as running:
        environment = running.environment()
        os.environ.update(environment)
        yield running
        for name in environment:
            del os.environ[name]


@pytest.fixture(scope="session")
def row_content() -> re.Pattern[str]:
    """What the ids and values of the shops look like."""
    return ROW_CONTENT


@pytest.fixture(autouse=True)
def _watched(no_record_content: list[str], capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """No run of a DAG tells an id or a value: not in its log, not in an error, not in an XCom."""
    yield
    printed = capfd.readouterr()
    no_record_content += [*printed.out.splitlines(), *printed.err.splitlines(), *xcoms()]
    sys.stdout.write(printed.out)
    sys.stderr.write(printed.err)


@pytest.fixture
def include(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a fresh include/ folder that the DAGs read."""
    monkeypatch.setenv("AIRFLOW__RECSYNC__INCLUDE_FOLDER", str(tmp_path))
    return tmp_path


@pytest.fixture
def run(airflow_database: None, services: Services) -> Callable[..., Any]:
    """Run one DAG in process, deferral included, and return its DagRun."""
    return run_dag


@pytest.fixture
def shop(services: Services, include: Path, request: pytest.FixtureRequest) -> Shop:
    """Open a shop of its own for each test: job names are single-use, so each needs another program name."""
    name = f"shop-{abs(hash(request.node.nodeid)) % 10**6}"
    opened = Shop(services, include, name)
    opened.load()
    opened.write_files()
    return opened
