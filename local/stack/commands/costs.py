"""Report usage and cost of the programs, without a scheduler."""

from __future__ import annotations

import argparse
import subprocess  # ruff: ignore[suspicious-subprocess-import] - our own command
import sys

from stack.console import make_plan
from stack.supervisor import Supervisor

HELP = "say what each program used this month and what it cost"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add program, month and format."""
    parser.add_argument("program", nargs="?", help="name of a file in include/programs; left out: all")
    parser.add_argument("--month", help="YYYY-MM (default: this month; of one program: every month)")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Start the services and print recsync's report."""
    plan = make_plan()
    # Progress goes to standard error, so that the report can be piped.
    Supervisor(plan, lambda text: print(text, file=sys.stderr, flush=True)).up(airflow=False)
    options = [
        *([arguments.program] if arguments.program else []),
        *(["--month", arguments.month] if arguments.month else []),
        *(["--json"] if arguments.json else []),
    ]
    command = [sys.executable, "-m", "recsync.cost_report", *options]
    # Our own command, in the stack's environment.
    return subprocess.run(command, env=plan.recsync_environ(), check=False).returncode  # ruff: ignore[subprocess-without-shell-equals-true]
