"""Say why people have a list or none, without a scheduler."""

from __future__ import annotations

import argparse
import subprocess  # ruff: ignore[suspicious-subprocess-import] - our own command
import sys
from pathlib import Path

from stack.commands.forget import read_people
from stack.console import make_plan
from stack.errors import StackError
from stack.supervisor import Supervisor

HELP = "say why people have their list, or none; their ids come from a file or standard input"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the program, the file of users and the table."""
    parser.add_argument("program", help="name of a file in include/programs, without .yaml")
    parser.add_argument(
        "--users", type=Path, help="file with one user_id, or id in Braze, a line; left out: standard input"
    )
    parser.add_argument(
        "--without-list", type=Path, help="write who has no list and why to this file, as CSV"
    )


def run(arguments: argparse.Namespace) -> int:
    """Start the services and print recsync's explanations."""
    if arguments.users and arguments.without_list:
        raise StackError(
            "USERS asks about people, WITHOUT_LIST for a table of everybody without a list: ask for one."
        )
    people = [] if arguments.without_list else read_people(arguments.users)
    plan = make_plan()
    Supervisor(plan, lambda text: print(text, file=sys.stderr, flush=True)).up(airflow=False)
    command = [sys.executable, "-m", "recsync.explain", arguments.program]
    if arguments.without_list:
        command += ["--without-list", str(arguments.without_list.resolve())]
    # Our own command, in the stack's environment.
    return subprocess.run(  # ruff: ignore[subprocess-without-shell-equals-true]
        command, env=plan.recsync_environ(), input="\n".join(people), text=True, check=False
    ).returncode
