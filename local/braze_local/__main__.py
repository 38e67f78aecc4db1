"""Run the server from the command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from braze_local.limits import DEFAULT_WINDOWS, Dialect, Window, WindowKind
from braze_local.server import serve
from braze_local.settings import Bulk, ObjectLimit, Settings, TypeLocking, parse_limit
from braze_local.store import DataDirectoryInUseError

KEY_VARIABLE = "BRAZE_LOCAL_KEY"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until stopped and return the exit status: 0 when stopped by a signal, 1 or 2 otherwise."""
    parser = _parser()
    options = parser.parse_args(arguments)
    keys = options.key or os.environ.get(KEY_VARIABLE, "").split()
    if not keys or any(not key.partition(":")[0] for key in keys):
        parser.error(f"a key is needed: --key KEY or {KEY_VARIABLE}")
    try:
        serve(_settings(options, keys))
    except DataDirectoryInUseError as error:
        print(f"braze_local: {error}", file=sys.stderr)
        return 1
    return 0


def _settings(options: argparse.Namespace, keys: list[str]) -> Settings:
    return Settings(
        data=options.data,
        keys=tuple(keys),
        host=options.host,
        port=options.port,
        apply_delay_seconds=options.apply_delay_seconds,
        catalog_delay_seconds=options.catalog_delay_seconds,
        latency_ms=options.latency_ms,
        object_limit=options.object_limit,
        objects_per_request=options.objects_per_request,
        bulk=options.bulk,
        bulk_objects_per_request=options.bulk_objects_per_request,
        dialect=options.rate_limit_dialect,
        windows={**DEFAULT_WINDOWS, **dict(options.limit)},
        window_kind=options.window_kind,
        type_locks=options.type_locks,
        blocklist=tuple(options.blocklist),
        catalog_storage_bytes=options.catalog_storage_bytes,
        reorder_probability=options.reorder_probability,
        reorder_seconds=options.reorder_seconds,
        reorder_seed=options.reorder_seed,
        count_writes=not options.no_write_counts,
        echo_invalid_key=options.echo_invalid_key,
        require_fields_to_export=not options.optional_fields_to_export,
        missing_users=options.missing_users,
        open_to_all=options.open_to_all,
        emails=options.emails,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="braze_local",
        description="Speak Braze's REST API on this machine.",
        epilog="Most of this can be changed while it runs, and faults be scripted: see the package's README.",
    )
    add = parser.add_argument
    add("--port", type=int, required=True, help="0 takes a free one")
    add("--host", default="127.0.0.1")
    add("--data", type=Path, required=True, metavar="DIR", help="where everything is kept")
    add(
        "--key",
        action="append",
        metavar="KEY[:PERMISSION,...]",
        help=f"a REST API key, all permissions unless listed; repeatable; else {KEY_VARIABLE}, by spaces",
    )
    _add_timing(parser)
    _add_contract(parser)
    add("--type-locks", choices=get_args(TypeLocking), default="on", help="strict: arrays of objects too")
    add("--blocklist", action="append", default=[], metavar="ATTRIBUTE", help="never written; repeatable")
    add("--no-write-counts", action="store_true", help="forget who was written how often; saves memory")
    add("--echo-invalid-key", action="store_true", help="401 repeats the key it was sent, as Braze may")
    add("--optional-fields-to-export", action="store_true", help="as for accounts older than August 2024")
    add(
        "--missing-users",
        choices=("report", "ignore", "adopt"),
        default="report",
        help="_update_existing_only",
    )
    add(
        "--emails",
        type=Path,
        metavar="DIR",
        help="a folder per e-mail, which profiles' pages show; needs plugins/",
    )
    add("--open-to-all", action="store_true", help="pages and /_local for other machines too")
    return parser


def _add_timing(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--apply-delay-seconds", type=_seconds, default=1.0, metavar="S", help="from accepted to visible")
    add("--catalog-delay-seconds", type=_seconds, metavar="S", help="the same for catalog items")
    add("--latency-ms", type=_seconds, default=0.0, metavar="MS", help="delay of every answer")
    add("--reorder-probability", type=_share, default=0.0, metavar="P", help="of a call being applied late")
    add("--reorder-seconds", type=_seconds, default=3.0, metavar="S", help="how late at most")
    add("--reorder-seed", type=int, metavar="N")


def _add_contract(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--object-limit", choices=get_args(ObjectLimit), default="combined")
    add("--objects-per-request", type=int, default=75, metavar="N")
    add("--bulk", choices=get_args(Bulk), default="404", help="/users/track/bulk: open, or how refused")
    add("--bulk-objects-per-request", type=int, default=1_000, metavar="N")
    add("--catalog-storage-bytes", type=int, metavar="N", help="refuse items beyond; unlimited by default")
    add("--rate-limit-dialect", choices=get_args(Dialect), default="classic")
    add("--window-kind", choices=get_args(WindowKind), default="fixed", help="fixed: aligned to the clock")
    add(
        "--limit",
        action="append",
        type=_limit,
        default=[],
        metavar="FAMILY=REQUESTS/SECONDS",
        help="one of " + ", ".join(f"{name}={w.requests}/{w.seconds}" for name, w in DEFAULT_WINDOWS.items()),
    )


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise ValueError(text)
    return seconds


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise ValueError(text)
    return share


def _limit(text: str) -> tuple[str, Window]:
    family, _, window = text.partition("=")
    return family, parse_limit(family, window)


if __name__ == "__main__":
    sys.exit(main())
