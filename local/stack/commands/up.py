"""Start the stopped parts of the stack."""

from __future__ import annotations

import argparse

from stack.console import login_hint, make_plan, say
from stack.parts import PORTED
from stack.ports import variable
from stack.settings import VARIABLES
from stack.supervisor import Supervisor

HELP = "start what is not running, wait until it is healthy, and say where it is"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options and list the environment variables."""
    parser.add_argument("--services-only", action="store_true", help="everything but Airflow")
    lines = [f"  {name}: {meaning}" for name, meaning in VARIABLES.items()]
    lines.append("  " + ", ".join(variable(part) for part in PORTED) + ": ports")
    lines.append(
        "  AIRFLOW_CONN_AWS_DEFAULT, AIRFLOW_CONN_WAREHOUSE, AIRFLOW_CONN_BRAZE_DEFAULT: your own servers"
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "environment variables:\n" + "\n".join(lines)


def run(arguments: argparse.Namespace) -> int:
    """Start the stack and print how to use it."""
    plan = make_plan()
    Supervisor(plan, say).up(airflow=not arguments.services_only)
    print()
    for part in PORTED:
        if part not in plan.replaced and not (part == "airflow" and arguments.services_only):
            print(f"  {variable(part)}={plan.ports.get(part)}")
    print(f"  bucket s3://{plan.settings.bucket} (kept in memory; saved at `down`, lost in a crash)")
    print(f"  logs in {plan.settings.logs}")
    print('  in a shell: eval "$(python -m stack env)"')
    if not arguments.services_only:
        print(login_hint(plan, show_password=True))
    return 0
