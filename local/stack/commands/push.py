"""Deliver a batch output through a program's push DAG in this process, without scheduler and Personalize."""

from __future__ import annotations

import argparse
import json
import subprocess  # ruff: ignore[suspicious-subprocess-import] - our own commands
import sys
from pathlib import Path

from stack.console import make_plan, say
from stack.errors import StackError
from stack.report import delivery_lines
from stack.supervisor import Supervisor

_OPTIONS = {
    "dry-run": "plan only, send nothing",
    "resync": "write every user again, regardless of the last-sent state",
    "allow-removals": "allow any number of users to lose their list",
}
HELP = "deliver a batch output (a folder of .out files or an S3 prefix) through the push DAG, in process"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the program, the batch output and the options."""
    parser.add_argument("program", help="name of a file in include/programs, without .yaml")
    parser.add_argument(
        "recommendations",
        nargs="?",
        help="folder or file of .out lines, or s3://bucket/prefix; without it, the newest published ones",
    )
    for option, text in _OPTIONS.items():
        parser.add_argument(f"--{option}", action="store_true", help=text)


def run(arguments: argparse.Namespace) -> int:
    """Start the services, run the DAG and print its report."""
    plan = make_plan()
    Supervisor(plan, say).up(airflow=False)
    folder = plan.settings.home / "push"
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    environ = plan.recsync_environ(own_metadata=folder)
    say("airflow: its own metadata database for this run, beside the scheduler's")
    _run([str(Path(sys.executable).parent / "airflow"), "db", "migrate"], environ, quiet=True)
    options = [f"--{option}" for option in _OPTIONS if getattr(arguments, option.replace("-", "_"))]
    what = [arguments.program, *filter(None, [arguments.recommendations])]
    _run(
        [sys.executable, "-m", "recsync.push_output", *what, "--report", str(report), *options],
        environ,
    )
    told = json.loads(report.read_text())
    print()
    if "outcomes" in told:
        print("\n".join(delivery_lines(told)))
        return 0
    print(f"planned only    {told['planned']}")
    if told["brake"]:
        print(f"a push stops    {told['brake']}")
    return 0


def _run(command: list[str], environ: dict[str, str], *, quiet: bool = False) -> None:
    output = subprocess.DEVNULL if quiet else None
    # Our own commands, in the stack's environment.
    done = subprocess.run(command, env=environ, stdout=output, stderr=output, check=False)  # ruff: ignore[subprocess-without-shell-equals-true]
    if done.returncode:
        raise StackError(f"`{' '.join(command[1:4])}` failed with status {done.returncode}.")
