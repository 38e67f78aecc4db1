"""Print the environment of Airflow for a shell."""

from __future__ import annotations

import argparse
import shlex

from stack.console import make_plan
from stack.environment import airflow_variables

HELP = 'print export lines: eval "$(python -m stack env)" lets `airflow ...` work on the stack'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take no arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Print one line per variable, secrets included."""
    del arguments
    plan = make_plan()
    for name, value in airflow_variables(plan.settings, plan.ports, plan.secrets, plan.environ).items():
        print(f"export {name}={shlex.quote(value)}")
    return 0
