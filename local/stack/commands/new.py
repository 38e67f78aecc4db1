"""Write the files of a new program from the tables of the warehouse, and check them."""

from __future__ import annotations

import argparse
import subprocess  # ruff: ignore[suspicious-subprocess-import] - our own commands
import sys
from pathlib import Path

from stack.connections import WAREHOUSE
from stack.console import make_plan, say
from stack.environment import connection_variables
from stack.errors import StackError
from stack.supervisor import Supervisor
from warehouse_local.dsn import to_dsn
from warehouse_local.load import files_of, load_folder

HELP = "look at the warehouse's tables, or load a folder, and write the files of a new program"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the program, the folder and the options that describe the tables."""
    parser.add_argument("program", help="name of the new program")
    parser.add_argument("--data", type=Path, help="folder of CSV or Parquet files, loaded first")
    parser.add_argument(
        "--tables", help="tables to look at, separated by commas (default: those of the folder, or all)"
    )
    parser.add_argument("--answers", type=Path, help="YAML file with answers")
    parser.add_argument("--overwrite", action="store_true", help="write files anew that are there")


def run(arguments: argparse.Namespace) -> int:
    """Start the services, load the folder, and run recsync's commands."""
    plan = make_plan()
    Supervisor(plan, lambda text: print(text, file=sys.stderr, flush=True)).up(airflow=False)
    tables = arguments.tables
    if arguments.data:
        loaded, _ = files_of(arguments.data)
        dsn = to_dsn(connection_variables(plan.ports, plan.secrets, plan.environ)[WAREHOUSE])
        if load_folder(dsn, arguments.data, say):
            raise StackError("A file could not be loaded, see above. Nothing was written.")
        tables = tables or ",".join(loaded)
    options = ["--tables", tables] if tables else []
    options += ["--answers", str(arguments.answers)] if arguments.answers else []
    options += ["--overwrite"] if arguments.overwrite else []
    environ = plan.recsync_environ()
    print()
    for command in (
        ["recsync.new_program.run", arguments.program, *options],
        ["recsync.preflight.run", arguments.program],
    ):
        # Our own command, in the stack's environment.
        done = subprocess.run([sys.executable, "-m", *command], env=environ, check=False)  # ruff: ignore[subprocess-without-shell-equals-true]
        if done.returncode:
            return done.returncode
    print(f"\nNext: make run PROGRAM={arguments.program}")
    return 0
