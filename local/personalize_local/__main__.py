"""Start the server: `python -m personalize_local --port N --data DIR`."""

from __future__ import annotations

import argparse
import re
import signal
import sys
import threading
from pathlib import Path

from personalize_local.quotas import ADJUSTABLE, MIN_IMPORT_INTERACTIONS, Quotas
from personalize_local.server import Server
from personalize_local.service import DEFAULT_ACCOUNT, Settings
from personalize_local.storage import FolderInUse


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m personalize_local",
        description="Amazon Personalize on this machine. S3 is found through boto3's environment: "
        "AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY. "
        "Automatic training (performAutoTraining) reads back as asked for, but nothing trains by schedule.",
    )
    parser.add_argument("--port", type=int, required=True, help="0 takes a free port")
    parser.add_argument("--data", type=Path, required=True, help="folder for state, datasets and models")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--time-scale",
        type=float,
        default=1.0,
        help="least seconds in each state; 0: jobs finish as fast as they compute (default: %(default)s)",
    )
    parser.add_argument(
        "--account",
        type=_account,
        default=DEFAULT_ACCOUNT,
        help="account id in ARNs, 12 digits (default: %(default)s); tools that build ARNs from the account of moto's "
        "STS need 123456789012",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes for heavy work")
    parser.add_argument(
        "--quota",
        type=_quota,
        action="append",
        default=[],
        metavar="NAME=N",
        help="raise or lower an adjustable quota, as AWS support would; repeatable. "
        f"Names with the service's figures: {', '.join(f'{q.name}={q.default}' for q in ADJUSTABLE.values())}",
    )
    parser.add_argument(
        "--event-age-seconds",
        type=float,
        help="age from which batch jobs see a streamed event (default: 15 x time scale, for the service's 15 minutes)",
    )
    parser.add_argument(
        "--refuse-unchanged-updates",
        action="store_true",
        help="refuse an UPDATE training when no dataset was imported into since the last FULL version, as AWS's own "
        "projects report (default: it trains)",
    )
    parser.add_argument(
        "--min-import-interactions",
        type=int,
        default=MIN_IMPORT_INTERACTIONS,
        metavar="N",
        help="an import of interactions with fewer records fails (default: the service's %(default)s); lower it for "
        "tests of clients with small data",
    )
    parser.add_argument(
        "--line-faults",
        type=_share,
        default=0.0,
        metavar="SHARE",
        help="share of the lines of each batch job, 0 to 1, that get an error, are missing, or are cut short, in turn; "
        "which ones depends on the job",
    )
    return parser


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return share


def _account(text: str) -> str:
    if re.fullmatch(r"\d{12}", text) is None:
        raise argparse.ArgumentTypeError(f"{text} does not have 12 digits")
    return text


def _quota(text: str) -> tuple[str, int]:
    name, _, limit = text.partition("=")
    try:
        Quotas({name: int(limit)})
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error
    return name, int(limit)


def main() -> int:
    """Serve until SIGINT or SIGTERM; return the exit status."""
    options = _parser().parse_args()
    settings = Settings(
        options.data,
        options.account,
        options.time_scale,
        options.workers,
        Quotas(dict(options.quota)),
        options.event_age_seconds,
        options.min_import_interactions,
        options.line_faults,
        options.refuse_unchanged_updates,
    )
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        server = Server(settings, options.host, options.port)
    except (FolderInUse, OSError) as error:
        print(f"personalize_local: {error}", file=sys.stderr)
        return 1
    with server:
        print(f"personalize_local is ready at {server.url}", flush=True)
        ended.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
