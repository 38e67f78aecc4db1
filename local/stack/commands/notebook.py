"""Open the worked example of the tables in a notebook, on the stack's S3."""

from __future__ import annotations

import argparse
import os
import sys

from stack.console import make_plan
from stack.settings import REPO
from stack.supervisor import Supervisor

HELP = "open the notebook about the tables of a program; its environment is made by make notebook"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the program and further arguments of marimo."""
    parser.add_argument("program", nargs="?", default="grocery")
    parser.add_argument("marimo", nargs="*", help="arguments of marimo edit, such as --headless")


def run(arguments: argparse.Namespace) -> int:
    """Start the services, and replace this process by the notebook's server."""
    plan = make_plan()
    Supervisor(plan, lambda text: print(text, file=sys.stderr, flush=True)).up(airflow=False)
    marimo = str(REPO / ".notebook-venv" / "bin" / "marimo")
    words = ["edit", str(REPO / "examples" / "notebook" / "deliveries.py"), *arguments.marimo]
    environ = {**plan.recsync_environ(), "PROGRAM": arguments.program, "MARIMO_SKIP_UPDATE_CHECK": "1"}
    # ruff: ignore[start-process-with-no-shell] - our own command
    os.execve(marimo, [marimo, *words], environ)
