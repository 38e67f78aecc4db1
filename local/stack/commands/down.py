"""Stop the stack."""

from __future__ import annotations

import argparse

from stack.console import make_plan, say
from stack.supervisor import Supervisor

HELP = "stop the stack"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take no arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Stop Airflow, then the services."""
    del arguments
    Supervisor(make_plan(), say).down()
    return 0
