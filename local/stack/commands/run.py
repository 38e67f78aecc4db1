"""Run the chain of one program once."""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime

from stack.airflow_api import AirflowApi
from stack.chain import Chain
from stack.closing import closing_lines
from stack.console import make_plan, say
from stack.parts import Plan
from stack.secret_files import ADMIN
from stack.supervisor import Supervisor

HELP = "run one program's chain once, through the scheduler: train, recommend, push"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the program and the modes."""
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
    """Return the chain of a program in the running Airflow."""
    api = AirflowApi(plan.url("airflow"), ADMIN, plan.secrets.airflow_admin_password)
    return Chain(api, program, plan.airflow_environ(), say)


def run(arguments: argparse.Namespace) -> int:
    """Start stopped parts, run the chain, and print its results and where to look."""
    plan, started = make_plan(), time.monotonic()
    Supervisor(plan, say).up(airflow=True)
    followed = chain(plan, arguments.program)
    followed.wait_for_dags()
    auto = arguments.mode == "auto" and arguments.until is None and followed.has_champion()
    report = followed.hourly() if auto or arguments.mode == "hourly" else followed.full(arguments.until)
    if arguments.until is None:
        followed.leave_to_schedule()
    print(f"\nDone in {time.monotonic() - started:.0f} s.")
    print("\n".join(closing_lines(plan, followed, {"Delivery": report})))
    return 0
