"""Load a folder of files into the stack's warehouse."""

from __future__ import annotations

import argparse
from pathlib import Path

from stack.connections import WAREHOUSE
from stack.console import make_plan, say
from stack.environment import connection_variables
from warehouse_local.dsn import to_dsn
from warehouse_local.load import load_folder

HELP = "make each CSV or Parquet file of a folder a table in the warehouse"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the folder."""
    parser.add_argument("folder", type=Path)


def run(arguments: argparse.Namespace) -> int:
    """Load file by file; exit status 1 if any could not be loaded."""
    plan = make_plan()
    variables = connection_variables(plan.ports, plan.secrets, plan.environ)
    failures = load_folder(to_dsn(variables[WAREHOUSE]), arguments.folder, say)
    if failures:
        say(f"{len(failures)} file(s) could not be loaded, see above")
    return 1 if failures else 0
