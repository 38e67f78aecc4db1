"""Load a folder of files into the stack's warehouse."""

from __future__ import annotations

import argparse
from pathlib import Path

from stack.connections import WAREHOUSE
from stack.console import make_plan, say
from stack.environment import connection_variables
from warehouse_local.dsn import to_dsn
from warehouse_local.load import load_folder

HELP = "load each CSV or Parquet file of a folder into a table of the warehouse"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folder."""
    parser.add_argument("folder", type=Path)


def run(arguments: argparse.Namespace) -> int:
    """Load the files one by one; return 1 if any failed."""
    plan = make_plan()
    variables = connection_variables(plan.ports, plan.secrets, plan.environ)
    failures = load_folder(to_dsn(variables[WAREHOUSE]), arguments.folder, say)
    if failures:
        say(f"{len(failures)} file(s) could not be loaded, see above")
    return 1 if failures else 0
