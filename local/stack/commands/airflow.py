"""Run an Airflow command against the stack."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from stack.console import make_plan

HELP = "run an Airflow command on the stack: python -m stack airflow -- dags list"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of Airflow."""
    parser.add_argument("command", nargs=argparse.REMAINDER, help="Airflow's arguments, after --")


def run(arguments: argparse.Namespace) -> int:
    """Replace this process by `airflow` in the stack's environment."""
    words = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    program = str(Path(sys.executable).parent / "airflow")
    environ = make_plan().airflow_environ()
    os.execve(program, [program, *words], environ)  # ruff: ignore[start-process-with-no-shell] - the user's own command
