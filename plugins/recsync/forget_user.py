"""Forget one person: ``python -m recsync.forget_user request PROGRAM`` or ``… run PROGRAM``.

``… programs`` prints the programs that own data, in one line. Their erasure covers the programs that share the data.

``make forget`` runs it. Standard input holds the user_id, and after a tab the id in Braze if no audience contains the
user. The id is written to a request on S3, which the DAG deletes at its end; Airflow gets only the name of the
request. ``request`` prints the name for a run in the scheduler; ``run`` runs the DAG in a child process; its
metadata database may be a file.
"""

from __future__ import annotations

import argparse
import json
import subprocess  # ruff: ignore[suspicious-subprocess-import] - our own commands
import sys
from pathlib import Path

from recsync import settings
from recsync.context import StageContext
from recsync.errors import DELIBERATE, FatalError
from recsync.forget.request import request_erasure
from recsync.program.files import owners


def main() -> int:
    """Make a request, run the DAG, or print a certificate."""
    parser = argparse.ArgumentParser(prog="python -m recsync.forget_user", description=__doc__)
    parser.add_argument("what", choices=("request", "run", "certificate", "programs"))
    parser.add_argument(
        "program", nargs="?", default="", help="name of a file in include/programs, without .yaml"
    )
    arguments = parser.parse_args()
    if arguments.what == "programs":
        print(" ".join(owners(settings.include_folder())))
        return 0
    # Not an argument: every user of the machine can read command lines, and the shell keeps them in its history.
    given, _, external_id = sys.stdin.readline().rstrip("\n").partition("\t")
    try:
        if arguments.what == "certificate":
            print(certificate(arguments.program, given))
            return 0
        name = request_erasure(arguments.program, given, external_id=external_id)
        if arguments.what == "request":
            print(name)
            return 0
        _run(arguments.program, name)
        print(certificate(arguments.program, name))
    except DELIBERATE as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def certificate(program: str, name: str) -> str:
    """Read the newest certificate of an erasure.

    :raises FatalError: when there is none.
    """
    context = StageContext.of(program)
    keys = [key for key in context.bucket.keys(context.keys.erasures) if key.endswith(f"-{name}.txt")]
    body = context.bucket.get(keys[-1]) if keys else None
    if body is None:
        raise FatalError(f"Erasure {name} of {program} has no certificate yet.")
    return f"{body.decode()}\n{context.bucket.uri(keys[-1])}"


def _run(program: str, name: str) -> None:
    airflow = str(Path(sys.executable).parent / "airflow")
    command = [airflow, "dags", "test", f"{program}_forget", "--conf", json.dumps({"request": name})]
    # Our own command; the program's name was just read from its file.
    if subprocess.run(command, check=False).returncode:  # ruff: ignore[subprocess-without-shell-equals-true]
        raise FatalError(f"The run of {program}_forget failed; its log is above. Start it again: it goes on.")


if __name__ == "__main__":
    sys.exit(main())
