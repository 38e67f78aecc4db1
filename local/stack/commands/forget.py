"""Erase people: in the scheduler if Airflow runs, else in this process."""

from __future__ import annotations

import argparse
import shutil
import subprocess  # ruff: ignore[suspicious-subprocess-import] - our own commands
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from stack.airflow_api import AirflowApi
from stack.console import make_plan, say
from stack.errors import StackError
from stack.health import answers
from stack.parts import Plan
from stack.secret_files import ADMIN
from stack.supervisor import Supervisor

HELP = "erase people from all data of recsync; their ids come from a file or standard input"

# A data deletion job of the real service takes up to a day.
_TIMEOUT_SECONDS = 2 * 24 * 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the program and the file of users."""
    parser.add_argument("program", nargs="?", help="name of a file in include/programs; left out: all")
    parser.add_argument(
        "--users",
        type=Path,
        help="file with one user_id a line, and after a tab the id in Braze where no audience tells it; "
        "left out: standard input",
    )


def run(arguments: argparse.Namespace) -> int:
    """Start the services and erase each person from each program."""
    people = read_people(arguments.users)
    plan = make_plan()
    supervisor = Supervisor(plan, say)
    supervisor.up(airflow=False)
    scheduled = answers(f"{plan.url('airflow')}/api/v2/monitor/health")
    folder = plan.settings.home / "forget"
    environ = plan.recsync_environ(own_metadata=None if scheduled else folder)
    # One erasure covers all programs over the same data.
    every = (
        [] if arguments.program else _recsync("programs", "", environ, []).strip().splitlines()[-1].split()
    )
    programs = [arguments.program] if arguments.program else every
    if not scheduled:
        folder.mkdir(parents=True, exist_ok=True)
        _call([str(Path(sys.executable).parent / "airflow"), "db", "migrate"], environ, [])
    way = "through the scheduler" if scheduled else "in process"
    for program in programs:
        say(f"{program}, {len(people):,} people in one run: {way}")
        if scheduled:
            print(_through_scheduler(plan, program, environ, people))
        else:
            _recsync("run", program, environ, people, shown=True)
    # Mails of `make preview` show people.
    shutil.rmtree(plan.settings.home / "preview", ignore_errors=True)
    # The objects saved by an earlier `down` still contain these people.
    supervisor.save_s3()
    return 0


def read_people(file: Path | None) -> list[str]:
    """Read one person per line, as ``user_id`` or ``user_id<tab>external_id``; skip empty lines.

    :raises StackError: when the file cannot be read or is empty.
    """
    if file is None:
        if sys.stdin.isatty():
            say("One user_id a line; end with Ctrl-D.")
        text = sys.stdin.read()
    else:
        try:
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise StackError(f"{file} cannot be read as UTF-8 text ({type(error).__name__}).") from None
    people = [line.rstrip("\r") for line in text.split("\n") if line.strip()]
    if not people:
        raise StackError("Whom? Write one user_id a line into a file, USERS=<file>, or to standard input.")
    return people


def _through_scheduler(plan: Plan, program: str, environ: Mapping[str, str], people: Sequence[str]) -> str:
    # The names are the last lines: Airflow's log is on standard output too.
    distinct = len({person.partition("\t")[0] for person in people})
    names = _recsync("request", program, environ, people).strip().splitlines()[-distinct:]
    api = AirflowApi(plan.url("airflow"), ADMIN, plan.secrets.airflow_admin_password)
    dag_id = f"{program}_forget"
    api.unpause(dag_id)
    run_id = api.trigger(dag_id, {})["dag_run_id"]
    say(f"{dag_id}: run {run_id}")

    ended = api.wait_for_run(dag_id, run_id, timeout_seconds=_TIMEOUT_SECONDS, poll_seconds=3.0)
    if ended["state"] == "failed":
        raise StackError(f"Run {run_id} of {dag_id} failed; its log says why. Clear it: it goes on.")
    return _recsync("certificates", program, environ, names)


def _recsync(
    what: str, program: str, environ: Mapping[str, str], lines: Sequence[str], *, shown: bool = False
) -> str:
    return _call([sys.executable, "-m", "recsync.forget_user", what, program], environ, lines, shown=shown)


def _call(
    command: list[str], environ: Mapping[str, str], lines: Sequence[str], *, shown: bool = False
) -> str:
    # Our own commands, in the stack's environment.
    done = subprocess.run(  # ruff: ignore[subprocess-without-shell-equals-true]
        command,
        env=environ,
        input="".join(f"{line}\n" for line in lines),
        text=True,
        check=False,
        stdout=None if shown else subprocess.PIPE,
    )
    if done.returncode:
        raise StackError(f"`{' '.join(command[1:4])}` failed with status {done.returncode}.")
    return done.stdout or ""
