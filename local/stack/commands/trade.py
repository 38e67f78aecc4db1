"""Simulate a busy shop, so that each export of a short schedule has new rows."""

from __future__ import annotations

import argparse

from stack.connections import WAREHOUSE
from stack.console import make_plan, say
from stack.environment import connection_variables
from warehouse_local.dsn import connect, to_dsn
from warehouse_local.sample import trade

HELP = "simulate a busy shop: move future purchases of the sample to now, for some minutes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the duration and the rate."""
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (default 30)")
    parser.add_argument("--purchases-per-minute", type=int, default=250, help="how many (default 250)")


def run(arguments: argparse.Namespace) -> int:
    """Bring purchases forward for the duration."""
    plan = make_plan()
    variables = connection_variables(plan.ports, plan.secrets, plan.environ)
    with connect(to_dsn(variables[WAREHOUSE])) as connection:
        connection.autocommit = True
        total = trade(
            connection,
            minutes=arguments.minutes,
            purchases_per_minute=arguments.purchases_per_minute,
            say=say,
        )
    say(f"{total:,} purchases were brought forward")
    return 0
