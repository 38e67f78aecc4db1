"""Show the state of every part."""

from __future__ import annotations

import argparse

from stack.console import login_hint, make_plan
from stack.supervisor import PartStatus, Supervisor

HELP = "show each part's state, address and log; exit status 1 unless all run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take no arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Print a table and how to log in."""
    del arguments
    plan = make_plan()
    states = Supervisor(plan, lambda _: None).status()
    print(table(states))
    print(login_hint(plan, show_password=False))
    return 0 if all(state.state in {"running", "replaced"} for state in states) else 1


def table(states: list[PartStatus]) -> str:
    """Format the states as a table."""
    head = ("PART", "STATE", "PID", "ADDRESS", "LOG")
    rows = [head, *((s.name, s.state, str(s.pid or "-"), s.address, str(s.log)) for s in states)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
