"""Run the programs of examples/recipes their full way and print what came of them: ``python -m benchmarks.recipes``.

A local stack of its own is started (warehouse with the grocery data, S3, Amazon Personalize, Braze), and for each
program the DAGs train_full (with its exports), recommend and push run in process. The data are those of every fourth
household in thirteen weeks. The baseline is aws-popularity-count, trained by the same run on the same rows.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.recipes.airflow_here import own_airflow
from benchmarks.recipes.table import header, line

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "recipes"


def main() -> int:
    """Run the programs that are named, or all; exit status 1 when one of them fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes", description=__doc__)
    names = sorted(path.stem for path in (EXAMPLES / "programs").glob("*.yaml"))
    parser.add_argument(
        "programs", nargs="*", metavar="PROGRAM", help=f"any of {', '.join(names)}; default: all"
    )
    parser.add_argument(
        "--folder", type=Path, help="where to keep logs and state; default: a temporary folder"
    )
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.programs) - set(names)):
        parser.error(f"no such program: {', '.join(unknown)}; there are {', '.join(names)}")
    with tempfile.TemporaryDirectory(prefix="recsync-recipes-") as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        own_airflow(folder, ROOT)
        # Only now: Airflow reads its settings when it is imported.
        from benchmarks.recipes.runs import run_all

        print(header(), flush=True)
        failed = 0
        for outcome in run_all(arguments.programs or names, EXAMPLES, folder):
            print(line(outcome), flush=True)
            failed += bool(outcome.failure)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
