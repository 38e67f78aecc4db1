"""Print the fault matrix: what becomes of a delivery under each fault.

python tests/fault_matrix/run_matrix.py [--people 3000] [--only WORDS] [--write]
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matrix_rows import Place, Row

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
PATHS = [HERE, REPO / "tests/recsync/push", REPO / "plugins", REPO / "local"]
# Of catalogues, Braze lets fifty calls a minute read: rows that wait for that would only be slower.
_UNLIMITED = ("--limit", "catalog-items-sync=6000/60", "--limit", "catalogs=6000/60")
DOCUMENT = REPO / "docs" / "faults.md"


def prepare(folder: Path) -> None:
    """Give this process and its tasks an Airflow home of their own, before anything imports Airflow."""
    sys.path[:0] = [str(path) for path in PATHS]
    os.environ |= {
        "PYTHONPATH": os.pathsep.join(map(str, PATHS)),
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow.db'}",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(folder / "none"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def main() -> int:
    """Run the matrix; the exit status says whether every row is as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=3_000)
    parser.add_argument("--only", default="", help="rows whose name holds one of these, with | between them")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(10**6), help="of the moments of the kills"
    )
    parser.add_argument("--write", action="store_true", help="keep the table in docs/faults.md")
    options = parser.parse_args()
    if options.write and options.only:
        parser.error("the page holds all rows; leave out --only")
    with tempfile.TemporaryDirectory(prefix="recsync-faults-") as folder:
        prepare(Path(folder))
        from matrix_table import document, table

        rows = []
        started = time.monotonic()
        for row in _rows(Path(folder), options):
            rows.append(row)
            note = "" if row.good else f"  <-- {row.note or row}"
            print(f"{row.seconds:6.1f} s  {row.fault}{note}", file=sys.stderr, flush=True)
        seconds = time.monotonic() - started
        print(table(rows))
        if options.write:
            DOCUMENT.write_text(document(rows, seconds))
        return 0 if all(row.good for row in rows) else 1


def _rows(folder: Path, options: argparse.Namespace) -> Iterable[Row]:
    import logging

    import matrix_crashes
    import matrix_faults
    import matrix_input
    import matrix_races
    import matrix_speed
    from matrix_rows import run

    logging.disable(logging.CRITICAL)
    matrix_speed.hasten()
    every = [
        *matrix_faults.scenarios(),
        *matrix_input.scenarios(),
        *matrix_crashes.scenarios(options.seed),
        *matrix_races.scenarios(),
    ]
    if not matrix_crashes.can_mount():
        every = [scenario for scenario in every if scenario.deliver is not matrix_crashes.small_disk]
    with opened(folder) as place:
        for number, scenario in enumerate(every):
            if any(word in scenario.fault for word in options.only.split("|")):
                yield run(scenario, f"faults-{number:02d}", place, options.people)


@contextmanager
def opened(folder: Path) -> Generator[Place]:
    """Start S3, behind a door, and the Braze sandbox."""
    import kit
    from matrix_rows import Place
    from matrix_s3 import Door, served

    door = Door()
    with kit.servers(folder, *_UNLIMITED) as servers, served(door) as s3:
        include = folder / "include"
        include.mkdir()
        yield Place(replace(servers, s3=s3), door, include)


if __name__ == "__main__":
    sys.exit(main())
