"""Forget people: ``python -m recsync.forget_user request PROGRAM`` or ``… run PROGRAM``.

``… programs`` prints the programs that own data, in one line. Their erasure covers the programs that share the data.

``make forget`` runs it. Each line of standard input holds a user_id, and after a tab the id in Braze if no audience
contains the user. The ids are written to requests on S3, which the DAG deletes at its end; Airflow gets none of them.
``request`` prints the names of the requests, for a run in the scheduler; ``run`` runs the DAG in a child process, so
that the metadata database may be a file. ``certificates`` reads such names and prints the certificates.
"""

from __future__ import annotations

import argparse
import subprocess  # ruff: ignore[suspicious-subprocess-import] - our own commands
import sys
from collections.abc import Sequence
from pathlib import Path

from recsync import settings
from recsync.context import StageContext
from recsync.errors import DELIBERATE, FatalError
from recsync.forget.request import read_requests, request_erasures
from recsync.program.files import owners

# Certificates to print; of more people only the batch's and where the others are.
_SHOWN = 10


def main() -> int:
    """Make a request, run the DAG, or print a certificate."""
    parser = argparse.ArgumentParser(prog="python -m recsync.forget_user", description=__doc__)
    parser.add_argument("what", choices=("request", "run", "certificates", "programs"))
    parser.add_argument(
        "program", nargs="?", default="", help="name of a file in include/programs, without .yaml"
    )
    arguments = parser.parse_args()
    if arguments.what == "programs":
        print(" ".join(owners(settings.include_folder())))
        return 0
    # Not an argument: every user of the machine can read command lines, and the shell keeps them in its history.
    lines = [line.rstrip("\n") for line in sys.stdin]
    try:
        if arguments.what == "certificates":
            print(certificates(arguments.program, lines))
            return 0
        people = [
            (user_id, external_id) for user_id, _, external_id in (line.partition("\t") for line in lines)
        ]
        names = request_erasures(arguments.program, people)
        if arguments.what == "request":
            print("\n".join(names))
            return 0
        waiting = len(names)
        while waiting:
            # One run takes at most as many people as a data deletion job.
            _run(arguments.program)
            before, waiting = waiting, still_open(arguments.program, names)
            if waiting == before:
                break
        print(certificates(arguments.program, names))
    except DELIBERATE as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def still_open(program: str, names: Sequence[str]) -> int:
    """Count the requests that still wait for a run."""
    return len(read_requests(StageContext.of(program), names))


def certificates(program: str, names: Sequence[str]) -> str:
    """Read the newest certificate of each erasure, or say where they are when there are many.

    :raises FatalError: when there is none.
    """
    context = StageContext.of(program)
    folder = f"{context.keys.erasures}certificates/"
    wanted, newest = set(names), {}
    for key in context.bucket.keys(folder):
        name = key.removesuffix(".txt").rpartition("-")[2]
        if key.endswith(".txt") and name in wanted:
            newest[name] = key
    if missing := [name for name in names if name not in newest]:
        one = f"Erasure {missing[0]} of {program} has no certificate yet."
        others = f" Nor have {len(missing) - 1:,} others." if len(missing) > 1 else ""
        raise FatalError(f"{one}{others} See the log of {program}_forget, and run make forget again.")
    texts = [
        f"{(context.bucket.get(newest[name]) or b'').decode()}\n{context.bucket.uri(newest[name])}"
        for name in names[:_SHOWN]
    ]
    if len(names) <= _SHOWN:
        return "\n\n".join(texts)
    batches = [key for key in context.bucket.keys(f"{context.keys.erasures}batches/") if key.endswith(".txt")]
    last = (context.bucket.get(batches[-1]) or b"").decode() if batches else ""
    return f"{last}\n{len(names):,} certificates are in {context.bucket.uri(folder)}; the first one:\n\n{texts[0]}"


def _run(program: str) -> None:
    airflow = str(Path(sys.executable).parent / "airflow")
    # Our own command; the program's name was just read from its file.
    if subprocess.run([airflow, "dags", "test", f"{program}_forget"], check=False).returncode:  # ruff: ignore[subprocess-without-shell-equals-true]
        raise FatalError(
            f"The run of {program}_forget failed; its log is above. Start it again with make forget: it resumes."
        )


if __name__ == "__main__":
    sys.exit(main())
