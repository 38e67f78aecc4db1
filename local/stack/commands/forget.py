"""Forget one person: through the scheduler when Airflow runs, else in process."""

from __future__ import annotations

import argparse
import os
import subprocess  # ruff: ignore[suspicious-subprocess-import] - our own commands
import sys
from collections.abc import Mapping
from pathlib import Path

from stack.airflow_api import AirflowApi
from stack.commands.push import own_metadata
from stack.console import make_plan, say
from stack.errors import StackError
from stack.health import answers
from stack.parts import Plan
from stack.secret_files import ADMIN
from stack.supervisor import Supervisor

HELP = "take one person out of everything that recsync wrote; the user_id comes on standard input"

# A data deletion job of the real service takes up to a day.
_TIMEOUT_SECONDS = 2 * 24 * 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe who is forgotten where."""
    parser.add_argument("program", nargs="?", help="name of a file in include/programs; left out: all")
    parser.add_argument("--external-id", default="", help="the id in Braze, where no audience tells it")


def run(arguments: argparse.Namespace) -> int:
    """Start the services that are not running, forget the person in one program after another, say what was done."""
    user = sys.stdin.readline().rstrip("\n")
    plan = make_plan()
    supervisor = Supervisor(plan, say)
    supervisor.up(airflow=False)
    scheduled = answers(f"{plan.url('airflow')}/api/v2/monitor/health")
    folder = plan.settings.home / "forget"
    environ = plan.airflow_environ() | ({} if scheduled else own_metadata(folder))
    environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(plan.settings.plugins), environ.get("PYTHONPATH")])
    )
    # A folder of its own is a setting of Airflow; without it, the one beside plugins/.
    include = Path(
        environ.get("AIRFLOW__RECSYNC__INCLUDE_FOLDER") or plan.settings.plugins.parent / "include"
    )
    every = sorted(path.stem for path in (include / "programs").glob("*.yaml"))
    programs = [arguments.program] if arguments.program else every
    options = ["--external-id", arguments.external_id] if arguments.external_id else []
    if not scheduled:
        folder.mkdir(parents=True, exist_ok=True)
        _call([str(Path(sys.executable).parent / "airflow"), "db", "migrate"], environ, "")
    for program in programs:
        say(f"{program}: {'through the scheduler' if scheduled else 'in process'}")
        if scheduled:
            print(_through_scheduler(plan, program, environ, user, options))
        else:
            _recsync(["run", program, *options], environ, user, shown=True)
    # What an earlier `down` saved still names the person.
    supervisor.save_s3()
    return 0


def _through_scheduler(
    plan: Plan, program: str, environ: Mapping[str, str], user: str, options: list[str]
) -> str:
    name = _recsync(["request", program, *options], environ, user).strip().splitlines()[-1]
    api = AirflowApi(plan.url("airflow"), ADMIN, plan.secrets.airflow_admin_password)
    dag_id = f"{program}_forget"
    api.unpause(dag_id)
    run_id = api.trigger(dag_id, {"request": name})["dag_run_id"]
    say(f"{dag_id}: run {run_id}")

    ended = api.wait_for_run(dag_id, run_id, timeout_seconds=_TIMEOUT_SECONDS, poll_seconds=3.0)
    if ended["state"] == "failed":
        raise StackError(f"Run {run_id} of {dag_id} failed; its log says why. Clear it: it goes on.")
    return _recsync(["certificate", program], environ, name)


def _recsync(words: list[str], environ: Mapping[str, str], line: str, *, shown: bool = False) -> str:
    return _call([sys.executable, "-m", "recsync.forget_user", *words], environ, line, shown=shown)


def _call(command: list[str], environ: Mapping[str, str], line: str, *, shown: bool = False) -> str:
    # Our own commands, in the stack's environment.
    done = subprocess.run(  # ruff: ignore[subprocess-without-shell-equals-true]
        command,
        env=environ,
        input=f"{line}\n",
        text=True,
        check=False,
        stdout=None if shown else subprocess.PIPE,
    )
    if done.returncode:
        raise StackError(f"`{' '.join(command[1:4])}` failed with status {done.returncode}.")
    return done.stdout or ""
