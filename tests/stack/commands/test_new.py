"""`make new`: from a folder of CSV files to a program that passes preflight, on real local services."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[3]
Stack = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def include(tmp_path: Path) -> Path:
    folder = tmp_path / "include"
    (folder / "programs").mkdir(parents=True)
    shutil.copy(REPO / "include" / "prices.yaml", folder)
    return folder


@pytest.fixture
def stack(stack_environ: dict[str, str], include: Path, tmp_path: Path) -> Iterator[Stack]:
    # What another test of the process left would stand in for a service of the stack, or name another bucket.
    left = ("AIRFLOW_CONN_", "AIRFLOW__RECSYNC__")
    others = {name: value for name, value in os.environ.items() if not name.startswith(left)}
    environ = {
        **others, **stack_environ, "PYTHONPATH": str(REPO / "local"), "STACK_DAGS": str(REPO / "dags"),
        "STACK_PLUGINS": str(REPO / "plugins"), "AIRFLOW__RECSYNC__INCLUDE_FOLDER": str(include),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "", "AIRFLOW_HOME": "",
    }  # fmt: skip

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "stack", *arguments]
        # Into files: the services inherit them, and the end of a pipe would come with their end.
        with (tmp_path / "out").open("w+") as out, (tmp_path / "err").open("w+") as err:
            done = subprocess.run(command, env=environ, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
            texts = (tmp_path / "out").read_text(), (tmp_path / "err").read_text()
        return subprocess.CompletedProcess(command, done.returncode, *texts)

    yield run
    run("down")


def ratings(folder: Path, columns: str) -> Path:
    now = datetime.now(UTC)
    rows = (f"u{n % 60},i{n * 7 % 40},{now - timedelta(hours=n + 1):%Y-%m-%d %H:%M:%S}" for n in range(1_200))
    folder.mkdir()
    (folder / "ratings.csv").write_text("\n".join([columns, *rows]) + "\n")
    return folder


@pytest.mark.timeout(600)  # it starts the services
def test_one_command_leads_from_a_folder_to_a_program_that_passes_preflight(
    stack: Stack, include: Path, tmp_path: Path
) -> None:
    data = ratings(tmp_path / "unnamed", "a,b,c")
    refused = stack("new", "other", "--data", str(data))
    assert refused.returncode == 1
    assert "  user: " in refused.stderr
    assert not (include / "programs" / "other.yaml").exists()

    answers = tmp_path / "answers.yaml"
    answers.write_text("user: a\nitem: b\n")
    answered = stack("new", "other", "--data", str(data), "--answers", str(answers))
    assert answered.returncode == 0, answered.stderr
    assert "other: no problems" in answered.stdout
    assert answered.stdout.rstrip().endswith("Next: make run PROGRAM=other")
