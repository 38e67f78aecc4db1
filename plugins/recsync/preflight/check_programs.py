"""Check the prices, every program file below a folder and its SQL.

What ``make programs`` runs: ``python -m recsync.preflight.check_programs include``. It needs no connection,
and imports nothing of Airflow.
"""

from __future__ import annotations

import sys
from pathlib import Path

from recsync.costs.prices import read_prices
from recsync.errors import FatalError
from recsync.preflight.program_sql import sql_problems
from recsync.program.files import SUFFIX, program_files, program_yaml, read_programs, shared_problems


def check(include: Path) -> list[str]:
    """Return every problem of the prices, of the program files and of their SQL files."""
    programs, broken = read_programs(include)
    problems = [problem for error in broken.values() for problem in error.problems]
    shared = shared_problems(programs, include)
    for name, program in programs.items():
        file = program_yaml(include / "programs" / f"{name}{SUFFIX}")
        problems += [*sql_problems(file, program, include), *shared.get(name, ())]
    problems += [
        f"{path.name}: nothing reads a file of this name; rename it to {path.stem}{SUFFIX}"
        for path in sorted((include / "programs").glob("*.y*ml"))
        if path.suffix != SUFFIX
    ]
    try:
        read_prices(include)
    except FatalError as error:
        problems += str(error).splitlines()
    return problems


def main(include: Path) -> int:
    """Print every problem; exit status 1 when there is one."""
    problems = check(include)
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    sys.stdout.write(f"{len(program_files(include))} program file(s), {len(problems)} problem(s)\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
