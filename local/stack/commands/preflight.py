"""Check a program before anything is billed, without a scheduler."""

from __future__ import annotations

import argparse
import subprocess  # ruff: ignore[suspicious-subprocess-import] - our own command
import sys

from stack.console import make_plan
from stack.supervisor import Supervisor

HELP = "check everything that a run of one program needs, before anything is billed; changes nothing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the program."""
    parser.add_argument("program", help="name of a file in include/programs, without .yaml")


def run(arguments: argparse.Namespace) -> int:
    """Start the services and run recsync's checks."""
    plan = make_plan()
    Supervisor(plan, lambda text: print(text, file=sys.stderr, flush=True)).up(airflow=False)
    command = [sys.executable, "-m", "recsync.preflight.run", arguments.program]
    # Our own command, in the stack's environment.
    return subprocess.run(command, env=plan.recsync_environ(), check=False).returncode  # ruff: ignore[subprocess-without-shell-equals-true]
