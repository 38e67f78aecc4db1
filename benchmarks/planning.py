"""The experiments on building lists and on the plan: speed and memory against reading the file and against peers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from benchmarks.contenders import LISTS, PLAN, Contender
from benchmarks.data import (
    ATTRIBUTE,
    BOUGHT_DAYS,
    CANDIDATES,
    LENGTH,
    MOST_PER_BRAND,
    RESULTS_PER_USER,
    ListsData,
    PlanData,
    lists_data,
    plan_data,
)
from benchmarks.places import emptied_folder, folder
from benchmarks.processes import ContenderFailedError, Run
from benchmarks.settings import Settings
from benchmarks.tables import median, megabytes, number, ratio, table

_COLUMNS = ["", "users", "users/s", "x of reading", "x of dicts", "CPU us/user", "peak MB", "truth"]
# Peers whose names begin so are the base of the second ratio.
_DICTS = "json, dicts"


def lists(settings: Settings) -> Iterator[str]:
    """Yield the table about building lists."""
    yield (
        f"{settings.lists_users:,} users x {CANDIDATES} recommendations with scores, 20,000 items: the first {LENGTH} "
        f"that the user did not buy in the last {BOUGHT_DAYS} days, at most {MOST_PER_BRAND} of a brand. The digest of "
        "all lists is compared with the truth. Peak MB is of the whole process, its imports included."
    )
    users, peer_users = settings.lists_users, settings.peer_lists_users
    yield _compare(LISTS, lambda who: lists_data(_users(who, users, peer_users)), settings)


def plan(settings: Settings) -> Iterator[str]:
    """Yield the table about the plan."""
    yield (
        f"{settings.plan_users:,} users x {RESULTS_PER_USER} recommendations with scores, 20,000 items; 10 % changed, "
        "0.1 % new and 0.1 % gone since the last run. Each contender prepares its own last-sent state beforehand, in "
        "another process. Peak MB is of the whole process, its imports included."
    )
    users, peer_users = settings.plan_users, settings.peer_plan_users
    yield _compare(PLAN, lambda who: plan_data(_users(who, users, peer_users)), settings)


def _users(contender: Contender, users: int, peer_users: int) -> int:
    return min(peer_users, contender.max_users or users) if contender.role == "peer" else users


def _compare(
    contenders: Sequence[Contender], data: Callable[[Contender], ListsData | PlanData], settings: Settings
) -> str:
    measured = [(contender, _measure(contender, data(contender), settings)) for contender in contenders]
    rates = {contender.name: median(runs, "rate") for contender, runs in measured if runs}
    dicts = next((rate for name, rate in rates.items() if name.startswith(_DICTS)), None)
    rows = [_row(contender, runs, rates.get(contenders[0].name), dicts) for contender, runs in measured]
    return table(_COLUMNS, rows)


def _measure(contender: Contender, data: ListsData | PlanData, settings: Settings) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = []
    try:
        # What was prepared is read only, so one preparation serves all runs.
        state = str(emptied_folder(f"state/{contender.module}"))
        told = {**_options(data), "state": state}
        if contender.prepares:
            Run(contender, told, function="prepare").result()
        while len(runs) < settings.repeats:
            runs.append(Run(contender, {**told, "out": str(emptied_folder("scratch/plan"))}).result())
            _judge(runs[-1], data)
            if runs[-1]["wall_seconds"] > settings.repeat_below_seconds * 10:
                break
    except ContenderFailedError as error:
        print(error, flush=True)
        return []
    return runs


def _options(data: ListsData | PlanData) -> dict[str, Any]:
    values = {field.name: getattr(data, field.name) for field in fields(data)}
    return {
        "kind": "plan" if isinstance(data, PlanData) else "lists",
        "users": data.users,
        "attribute": ATTRIBUTE,
        "out": str(folder("scratch")),
        **{name: str(path) for name, path in values.items() if isinstance(path, Path)},
    }


def _judge(result: dict[str, Any], data: ListsData | PlanData) -> None:
    lines = data.expected.lines
    result["rate"] = lines / result["wall_seconds"]
    result["lines"] = lines
    if "found" in result:
        expected = asdict(data.expected)
        result["truth"] = (
            "right" if result["found"] == expected else f"{result['found']} but truly {expected}"
        )
    else:
        result["truth"] = "all read" if result["read"] == lines else f"read {result['read']:,}"


def _row(
    contender: Contender, runs: list[dict[str, Any]], floor: float | None, dicts: float | None
) -> list[str]:
    if not runs:
        return [contender.name, "failed", *["-"] * 6]
    rate = median(runs, "rate")
    return [
        contender.name + (f" (x{len(runs)})" if len(runs) > 1 else ""),
        f"{runs[0]['lines']:,}",
        number(rate),
        ratio(rate, floor),
        ratio(rate, dicts),
        number(median(runs, "cpu_seconds") / runs[0]["lines"] * 1e6),
        megabytes(median(runs, "peak_rss_bytes")),
        runs[-1]["truth"],
    ]
