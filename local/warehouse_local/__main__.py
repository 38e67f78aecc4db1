"""Serve, load and set the clock of the local warehouse from a terminal."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pyarrow as pa

from warehouse_local import clock, sample
from warehouse_local.dsn import connect, dsn_from_environment
from warehouse_local.errors import DsnError, WarehouseError
from warehouse_local.load import load_folder
from warehouse_local.server import EmbeddedServer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m warehouse_local", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    serve = commands.add_parser("serve", help="run the embedded PostgreSQL in the foreground")
    serve.add_argument("--data", type=Path, required=True, help="data folder, created when missing")
    serve.add_argument("--port", type=int, default=5433, help="port on 127.0.0.1 (default 5433)")
    serve.add_argument("--password-file", type=Path, required=True, help="password of login postgres")
    serve.set_defaults(run=_serve)

    load = commands.add_parser("load", help="load each CSV or Parquet file of a folder into a table")
    load.add_argument("folder", type=Path)
    load.set_defaults(run=_load)

    journey = commands.add_parser("sample", help="load The Complete Journey into schema journey")
    journey.add_argument(
        "--now", type=_moment, help="ISO time before the last two weeks of data (default: now)"
    )
    journey.add_argument("--folder", type=Path, help="Parquet files (default: the installed package)")
    journey.add_argument(
        "--keep", action="store_true", help="keep a loaded sample while it has future purchases"
    )
    journey.set_defaults(run=_sample)

    time = commands.add_parser("clock", help="show or set journey.now()")
    choice = time.add_mutually_exclusive_group()
    choice.add_argument("--set", type=_moment, dest="moment", help="fix the clock at an ISO time")
    choice.add_argument("--advance-hours", type=float, help="fix the clock this much after its current time")
    choice.add_argument("--release", action="store_true", help="let the clock follow the real time")
    time.set_defaults(run=_clock)

    busy = commands.add_parser("trade", help="simulate a busy shop: move future purchases to now")
    busy.add_argument("--minutes", type=float, default=30.0, help="how long (default 30)")
    busy.add_argument("--purchases-per-minute", type=int, default=250, help="how many (default 250)")
    busy.set_defaults(run=_trade)

    for command in (load, journey, time, busy):
        command.add_argument("--dsn", help="default: WAREHOUSE_DSN or AIRFLOW_CONN_WAREHOUSE")
    return parser


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _dsn(arguments: argparse.Namespace) -> str:
    dsn = arguments.dsn or dsn_from_environment()
    if not dsn:
        raise DsnError("which warehouse? Give --dsn, or set WAREHOUSE_DSN or AIRFLOW_CONN_WAREHOUSE.")
    return str(dsn)


def _serve(arguments: argparse.Namespace) -> int:
    server = EmbeddedServer(
        arguments.data.resolve(), arguments.port, arguments.password_file.read_text().strip()
    )
    server.prepare()
    command = server.argv()
    os.chdir("/")  # the server's user may have no access to the current folder
    os.execvp(command[0], command)  # ruff: ignore[start-process-with-no-shell] - becomes PostgreSQL, so that signals reach it


def _load(arguments: argparse.Namespace) -> int:
    failures = load_folder(_dsn(arguments), arguments.folder)
    if failures:
        print(f"{len(failures)} file(s) could not be loaded, see above.", file=sys.stderr)
    return 1 if failures else 0


def _sample(arguments: argparse.Namespace) -> int:
    sample.load_sample(_dsn(arguments), now=arguments.now, folder=arguments.folder, keep=arguments.keep)
    return 0


def _clock(arguments: argparse.Namespace) -> int:
    with connect(_dsn(arguments)) as connection:
        clock.ensure_clock(connection)
        if arguments.moment:
            clock.set_to(connection, arguments.moment)
        elif arguments.advance_hours is not None:
            clock.advance(connection, arguments.advance_hours)
        elif arguments.release:
            clock.set_to(connection, None)
        now, fixed = clock.show(connection)
    print(f"{now.isoformat()} ({'fixed' if fixed else 'runs with the real time'})")
    return 0


def _trade(arguments: argparse.Namespace) -> int:
    with connect(_dsn(arguments)) as connection:
        connection.autocommit = True
        sample.trade(
            connection,
            minutes=arguments.minutes,
            purchases_per_minute=arguments.purchases_per_minute,
            say=print,
        )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a known failure prints its message and exits with 1."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except (WarehouseError, psycopg.Error, pa.ArrowException, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
