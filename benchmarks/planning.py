"""The experiment on the plan stage: speed and memory against reading the file and against peers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from benchmarks.contenders import PLAN, Contender
from benchmarks.data import ATTRIBUTE, RESULTS_PER_USER, PlanData, plan_data
from benchmarks.places import emptied_folder, folder
from benchmarks.processes import ContenderFailedError, Run
from benchmarks.settings import Settings
from benchmarks.tables import median, megabytes, number, ratio, table

_COLUMNS = ["", "users", "users/s", "x of reading", "x of dicts", "CPU us/user", "peak MB", "counts"]
_DICTS = "json, dicts, sha256"


def plan(settings: Settings) -> Iterator[str]:
    """Yield the table."""
    yield (
        f"{settings.plan_users:,} users x {RESULTS_PER_USER} recommendations with scores, 20,000 items; 10 % changed, "
        "0.1 % new and 0.1 % gone since the last run. Each contender prepares its own last-sent state beforehand, in "
        "another process. Peak MB is of the whole process, its imports included."
    )
    measured = [(contender, _measure(contender, settings)) for contender in PLAN]
    rates = {contender.name: median(runs, "rate") for contender, runs in measured if runs}
    floor = rates.get(PLAN[0].name)
    yield table(_COLUMNS, [_row(contender, runs, floor, rates.get(_DICTS)) for contender, runs in measured])


def _measure(contender: Contender, settings: Settings) -> list[dict[str, Any]]:
    users = settings.plan_users
    if contender.role == "peer":
        users = min(settings.peer_plan_users, contender.max_users or users)
    data = plan_data(users)
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


def _options(data: PlanData) -> dict[str, Any]:
    files = ("first", "second", "first_audience", "second_audience", "catalogue")
    return {
        "kind": "plan",
        "users": data.users,
        "attribute": ATTRIBUTE,
        "out": str(folder("scratch")),
        **{name: str(getattr(data, name)) for name in files},
    }


def _judge(result: dict[str, Any], data: PlanData) -> None:
    planned = data.expected.changed + data.expected.new + data.expected.unchanged
    result["rate"] = planned / result["wall_seconds"]
    result["planned"] = planned
    if "found" in result:
        expected = asdict(data.expected)
        result["truth"] = (
            "right" if result["found"] == expected else f"{result['found']} but truly {expected}"
        )
    else:
        result["truth"] = "all read" if result["read"] == planned else f"read {result['read']:,}"


def _row(
    contender: Contender, runs: list[dict[str, Any]], floor: float | None, dicts: float | None
) -> list[str]:
    if not runs:
        return [contender.name, "failed", *["-"] * 6]
    rate = median(runs, "rate")
    return [
        contender.name + (f" (x{len(runs)})" if len(runs) > 1 else ""),
        f"{runs[0]['planned']:,}",
        number(rate),
        ratio(rate, floor),
        ratio(rate, dicts),
        number(median(runs, "cpu_seconds") / runs[0]["planned"] * 1e6),
        megabytes(median(runs, "peak_rss_bytes")),
        runs[-1]["truth"],
    ]
