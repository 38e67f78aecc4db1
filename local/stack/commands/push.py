"""Deliver any batch output through a program's push DAG, in process: no scheduler, no Personalize."""

from __future__ import annotations

import argparse
import json
import os
import subprocess  # ruff: ignore[suspicious-subprocess-import] - our own commands
import sys
from pathlib import Path

from stack.console import make_plan, say
from stack.errors import StackError
from stack.report import delivery_lines
from stack.supervisor import Supervisor

HELP = "deliver a batch output (a folder of .out files or an S3 prefix) through the push DAG, in process"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe what is delivered."""
    parser.add_argument("program", help="name of a file in include/programs, without .yaml")
    parser.add_argument("recommendations", help="folder or file of .out lines, or s3://bucket/prefix")
    parser.add_argument("--dry-run", action="store_true", help="plan only, send nothing")


def run(arguments: argparse.Namespace) -> int:
    """Start the services that are not running, run the DAG, and say what it did."""
    plan = make_plan()
    Supervisor(plan, say).up(airflow=False)
    folder = plan.settings.home / "push"
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    environ = {**plan.airflow_environ(), **own_metadata(folder)}
    environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(plan.settings.plugins), environ.get("PYTHONPATH")])
    )
    say("airflow: its own metadata database for this run, beside the scheduler's")
    _run([str(Path(sys.executable).parent / "airflow"), "db", "migrate"], environ, quiet=True)
    options = ["--report", str(report), *(["--dry-run"] if arguments.dry_run else [])]
    _run(
        [sys.executable, "-m", "recsync.push_output", arguments.program, arguments.recommendations, *options],
        environ,
    )
    told = json.loads(report.read_text())
    print()
    print("\n".join(delivery_lines(told) if "outcomes" in told else [f"planned only    {told['planned']}"]))
    return 0


def own_metadata(folder: Path) -> dict[str, str]:
    """Keep the run out of the scheduler's database, which would take its tasks for its own."""
    return {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow.db'}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
    }


def _run(command: list[str], environ: dict[str, str], *, quiet: bool = False) -> None:
    output = subprocess.DEVNULL if quiet else None
    # Our own commands, in the stack's environment.
    done = subprocess.run(command, env=environ, stdout=output, stderr=output, check=False)  # ruff: ignore[subprocess-without-shell-equals-true]
    if done.returncode:
        raise StackError(f"`{' '.join(command[1:4])}` failed with status {done.returncode}.")
