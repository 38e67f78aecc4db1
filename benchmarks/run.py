"""Measure everything side by side and print Markdown: ``python -m benchmarks.run --help``.

No figure is asserted anywhere: machines differ. What is checked is that the users a contender claims are the
users that the sink took.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator

from benchmarks import delivering, exporting, planning, recommend_run, recommending, sharing
from benchmarks.engine import experiment
from benchmarks.places import ROOT
from benchmarks.processes import Sink, forget_runs, running_sink
from benchmarks.settings import Settings
from benchmarks.tables import machine

Part = Callable[[Sink, Settings], Iterator[str]]


def _alone(*experiments: Callable[[Settings], Iterator[str]]) -> Part:
    """Make a part of experiments that start their own servers."""
    return lambda _, settings: (piece for each in experiments for piece in each(settings))


_PARTS: dict[str, tuple[str, Part]] = {
    "export": ("Export stage", _alone(exporting.export)),
    "lists": ("Building lists", _alone(planning.lists)),
    "plan": ("Plan stage", _alone(planning.plan)),
    "people": ("A recommend run of many people", _alone(recommend_run.run)),
    "delivery": ("Delivery stage against latency", delivering.speed),
    "transports": ("Transports", delivering.transports),
    "faults": ("Faults", _alone(delivering.faults)),
    "limit": ("A shared rate limit", _alone(delivering.limit, sharing.sharing)),
    "engine": ("The local engine", _alone(experiment.recommend)),
    "recommendations": ("The recommendations service", _alone(recommending.recommendations)),
}


def measure(parts: list[str], settings: Settings) -> Iterator[str]:
    """Yield the report piece by piece, each as soon as it is measured."""
    yield f"Machine: {machine()}"
    with running_sink() as sink:
        for part in parts:
            began = time.monotonic()
            title, pieces = _PARTS[part]
            yield f"## {title}"
            yield from pieces(sink, settings)
            print(f"{part}: {time.monotonic() - began:.0f} s", file=sys.stderr)


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
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--full", action="store_true", help="the sizes that are published: half an hour")
    sizes.add_argument(
        "--deep", action="store_true", help="a year of hours, every split of the engine: hours"
    )
    parser.add_argument("--write", action="store_true", help="also write docs/benchmarks.md")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - _PARTS.keys()
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(_PARTS)}")
    size = "deep" if arguments.deep else "full" if arguments.full else "quick"
    settings = {"quick": Settings.quick, "full": Settings.full, "deep": Settings.deep}[size](arguments.users)
    parts = arguments.parts or list(_PARTS)
    started = time.monotonic()
    pieces = [
        "# Benchmarks",
        f"Written by `make bench`, sizes: {size}, {arguments.users:,} users; every figure is printed by it. Ratios "
        "within one table are the usable part: machines differ, and no speed is asserted anywhere. What is checked is "
        "that each row, list and user that a contender claims is there.",
    ]
    report = ROOT / "docs" / "benchmarks.md"
    for piece in measure(parts, settings):
        print(piece, end="\n\n", flush=True)
        pieces.append(piece)
        if arguments.write:  # at each piece, so that a run that is stopped leaves what it measured
            report.write_text("\n\n".join(pieces) + "\n")
    forget_runs()
    pieces.append(f"{', '.join(parts)}: {(time.monotonic() - started) / 60:.0f} minutes in all.")
    print(pieces[-1])
    if arguments.write:
        report.write_text("\n\n".join(pieces) + "\n")


if __name__ == "__main__":
    main()
