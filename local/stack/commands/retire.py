"""Remove a program from Braze, Amazon Personalize and S3 through its retire DAG."""

from __future__ import annotations

import argparse
import json
import subprocess  # ruff: ignore[suspicious-subprocess-import] - our own commands
import sys
from pathlib import Path
from typing import Any

from stack.airflow_api import AirflowApi
from stack.console import make_plan, say
from stack.errors import StackError
from stack.health import answers
from stack.parts import Plan
from stack.secret_files import ADMIN
from stack.supervisor import Supervisor

HELP = "remove a program from Braze, Amazon Personalize and S3; shared data of other programs stay"

_TIMEOUT_SECONDS = 2 * 24 * 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the program and the dry run."""
    parser.add_argument("program", help="name of a file in include/programs, without .yaml")
    parser.add_argument("--dry-run", action="store_true", help="list what would be removed, remove nothing")


def run(arguments: argparse.Namespace) -> int:
    """Start the services and run the DAG, in the scheduler if Airflow runs, else in this process."""
    plan = make_plan()
    supervisor = Supervisor(plan, say)
    supervisor.up(airflow=False)
    conf = {"dry_run": arguments.dry_run, "confirm": arguments.program}
    if answers(f"{plan.url('airflow')}/api/v2/monitor/health"):
        _through_scheduler(plan, arguments.program, conf)
    else:
        _in_process(plan, arguments.program, conf)
    # The objects saved by an earlier `down` still include those of the program.
    supervisor.save_s3()
    return 0


def _through_scheduler(plan: Plan, program: str, conf: dict[str, Any]) -> None:
    api = AirflowApi(plan.url("airflow"), ADMIN, plan.secrets.airflow_admin_password)
    dag_id = f"{program}_retire"
    if not conf["dry_run"]:
        for dag in api.dags(tag=program):
            if dag["dag_id"] != dag_id:
                api.set_paused(dag["dag_id"], paused=True)
                say(f"paused {dag['dag_id']}")
    api.unpause(dag_id)
    run_id = api.trigger(dag_id, conf)["dag_run_id"]
    say(f"{dag_id}: run {run_id}")
    ended = api.wait_for_run(dag_id, run_id, timeout_seconds=_TIMEOUT_SECONDS, poll_seconds=3.0)
    if ended["state"] == "failed":
        raise StackError(f"Run {run_id} of {dag_id} failed; its log says why. Start it again: it goes on.")
    print(json.dumps(api.xcom(dag_id, run_id, "survey"), indent=1))


def _in_process(plan: Plan, program: str, conf: dict[str, Any]) -> None:
    folder = plan.settings.home / "retire"
    folder.mkdir(parents=True, exist_ok=True)
    environ = plan.recsync_environ(own_metadata=folder)
    airflow = str(Path(sys.executable).parent / "airflow")
    test = [airflow, "dags", "test", f"{program}_retire", "--conf", json.dumps(conf)]
    for command in ([airflow, "db", "migrate"], test):
        # Our own commands, in the stack's environment.
        if subprocess.run(command, env=environ, check=False).returncode:  # ruff: ignore[subprocess-without-shell-equals-true]
            raise StackError(
                f"`{' '.join(command[1:4])}` failed; its log is above. Start it again: it goes on."
            )
