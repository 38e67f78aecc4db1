"""Measure everything side by side and print Markdown: ``python -m benchmarks.run --help``.

No figure is asserted anywhere: machines differ. What is checked is that the users a contender claims are the
users that the sink took.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import delivering, exporting, planning, recommending
from benchmarks.engine import experiment
from benchmarks.places import ROOT
from benchmarks.processes import Sink, forget_runs, running_sink
from benchmarks.settings import Settings
from benchmarks.tables import machine

_PARTS = ("export", "lists", "plan", "delivery", "transports", "faults", "limit", "engine", "recommendations")
_TITLES = {
    "export": "Export stage",
    "lists": "Building lists",
    "plan": "Plan stage",
    "delivery": "Delivery stage against latency",
    "transports": "Transports",
    "faults": "Faults",
    "limit": "A shared rate limit",
    "engine": "The local engine",
    "recommendations": "The recommendations service",
}


def measure(parts: list[str], settings: Settings) -> Iterator[str]:
    """Yield the report piece by piece, each as soon as it is measured."""
    yield f"Machine: {machine()}"
    with running_sink() as sink:
        for part in parts:
            yield f"## {_TITLES[part]}"
            yield from _measure_part(part, sink, settings)


def _measure_part(part: str, sink: Sink, settings: Settings) -> Iterator[str]:
    if part == "export":
        return exporting.export(settings)
    if part == "lists":
        return planning.lists(settings)
    if part == "plan":
        return planning.plan(settings)
    if part == "faults":
        return delivering.faults(settings)
    if part == "limit":
        return delivering.limit(settings)
    if part == "engine":
        return experiment.recommend(settings)
    if part == "recommendations":
        return recommending.recommendations(settings)
    return (delivering.speed if part == "delivery" else delivering.transports)(sink, settings)


def main() -> None:
    """Read the options, measure, print; write docs/benchmarks.md only when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of: {' '.join(_PARTS)}; default: all")
    parser.add_argument(
        "--users",
        type=int,
        default=1_000_000,
        help="users of the lists and the plan stage (default 1,000,000)",
    )
    parser.add_argument("--full", action="store_true", help="whole sizes and medians of three: takes an hour")
    parser.add_argument("--write", action="store_true", help="also write docs/benchmarks.md")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(_PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(_PARTS)}")
    settings = (Settings.full if arguments.full else Settings.quick)(arguments.users)
    started = time.monotonic()
    pieces = ["# Benchmarks", "Written by `make bench`. Ratios within one table are the usable part."]
    for piece in measure(arguments.parts or list(_PARTS), settings):
        print(piece, end="\n\n", flush=True)
        pieces.append(piece)
    forget_runs()
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    if arguments.write:
        Path(ROOT / "docs" / "benchmarks.md").write_text("\n\n".join(pieces) + "\n")


if __name__ == "__main__":
    main()
