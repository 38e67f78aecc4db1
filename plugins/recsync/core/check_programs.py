"""Check the prices and every program file below a folder: ``python -m recsync.core.check_programs include``."""

from __future__ import annotations

import sys
from pathlib import Path

from recsync.core.money.prices import read_prices
from recsync.core.program_file import program_files, read_program
from recsync.errors import FatalError, ProgramError


def main(include: Path) -> int:
    """Print every problem of the prices and of every program; exit status 1 when there is one."""
    problems: list[str] = []
    files = program_files(include)
    for path in files:
        try:
            read_program(path, include)
        except ProgramError as error:
            problems += error.problems
    try:
        read_prices(include)
    except FatalError as error:
        problems += str(error).splitlines()
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    sys.stdout.write(f"{len(files)} program file(s), {len(problems)} problem(s)\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
