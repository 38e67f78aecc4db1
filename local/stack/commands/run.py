"""Run the whole chain of one program once."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from stack.airflow_api import AirflowApi
from stack.chain import Chain
from stack.console import make_plan, say
from stack.parts import Plan
from stack.report import delivery_lines
from stack.secret_files import ADMIN

HELP = "run one program's chain once, through the scheduler: train, recommend, push"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the modes."""
    parser.add_argument("program", help="name of a file in include/programs, without .yaml")
    parser.add_argument(
        "--mode",
        choices=("auto", "full", "hourly"),
        default="auto",
        help="full: train from the start; hourly: export the hours since, update; auto (default): hourly when "
        "a version was promoted before, else full",
    )
    parser.add_argument(
        "--until",
        type=_moment,
        help="with full: end of the data, ISO 8601 (default: now); the hours after it stay pending",
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def chain(plan: Plan, program: str) -> Chain:
    """Connect to the running Airflow."""
    api = AirflowApi(plan.url("airflow"), ADMIN, plan.secrets.airflow_admin_password)
    return Chain(api, program, plan.airflow_environ(), say)


def run(arguments: argparse.Namespace) -> int:
    """Run the chain and say what it did."""
    followed = chain(make_plan(), arguments.program)
    followed.wait_for_dags()
    auto = arguments.mode == "auto" and arguments.until is None and followed.has_champion()
    report = followed.hourly() if auto or arguments.mode == "hourly" else followed.full(arguments.until)
    if arguments.until is None:
        followed.leave_to_schedule()
    print()
    print("\n".join(delivery_lines(report)))
    return 0
