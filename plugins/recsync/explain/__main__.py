"""Explain lists: ``python -m recsync.explain PROGRAM``; standard input holds one id a line.

``make explain`` runs it. An id is a ``user_id``, or the id by which Braze knows the person. ``--without-list FILE``
writes the people without a list and why as CSV instead.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from recsync.errors import DELIBERATE
from recsync.explain.explain import explain
from recsync.explain.explanation import as_text
from recsync.explain.without_list import csv_lines


def main() -> int:
    """Print the explanations, or write the table."""
    parser = argparse.ArgumentParser(prog="python -m recsync.explain", description=__doc__)
    parser.add_argument("program", help="name of a file in include/programs, without .yaml")
    parser.add_argument(
        "--without-list", type=Path, metavar="FILE", help="write who has no list and why as CSV"
    )
    arguments = parser.parse_args()
    try:
        if arguments.without_list:
            with arguments.without_list.open("wb") as file:
                file.writelines(csv_lines(arguments.program))
            print(f"Written to {arguments.without_list}; it holds ids of people.")
            return 0
        # Not arguments: every user of the machine can read command lines, and the shell keeps them in its history.
        ids = [line.strip() for line in sys.stdin if line.strip()]
        print("\n\n".join(as_text(each) for each in explain(arguments.program, ids)))
    except DELIBERATE as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
