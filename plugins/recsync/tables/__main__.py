"""Print the DDL of a program's tables: ``python -m recsync.tables PROGRAM --dialect athena --bucket BUCKET``.

``make tables-ddl`` runs it. ``--dialect docs`` prints the schemas as docs/tables.md shows them.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime, timedelta

from recsync.tables.ddl import EXTERNAL, TableLocation, ddl, markdown, partitions, refreshes
from recsync.tables.schema import TABLES


def main() -> int:
    """Print the statements; exit status 2 without a bucket."""
    parser = argparse.ArgumentParser(prog="python -m recsync.tables", description=__doc__)
    parser.add_argument("program", help="name of a file in include/programs, without .yaml")
    parser.add_argument("--dialect", choices=[*EXTERNAL, "docs"], default="athena")
    parser.add_argument("--bucket", default=os.environ.get("AIRFLOW__RECSYNC__BUCKET", ""))
    parser.add_argument(
        "--access", default="", help="role, storage integration or connection that may read it"
    )
    parser.add_argument("--days", type=int, default=31, help="days that Redshift Spectrum is told of")
    parser.add_argument("--tables", default=",".join(TABLES), help="comma-separated names (default: all)")
    arguments = parser.parse_args()
    tables = [TABLES[name] for name in arguments.tables.split(",") if name in TABLES]
    if arguments.dialect == "docs":
        print(markdown(tables), end="")
        return 0
    if not arguments.bucket:
        print("error: which bucket? Give BUCKET=<name>, or set AIRFLOW__RECSYNC__BUCKET.", file=sys.stderr)
        return 2
    location = TableLocation.of(arguments.program, arguments.bucket, arguments.access)
    statements = ddl(location, arguments.dialect, tables)
    if arguments.dialect == "redshift_spectrum":
        today = datetime.now(UTC).date()
        days = [today - timedelta(days=number) for number in reversed(range(arguments.days))]
        statements += partitions(location, days, tables)
    if arguments.dialect == "snowflake":
        statements += refreshes(location, tables)
    print("".join(f"{statement};\n\n" for statement in statements), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
