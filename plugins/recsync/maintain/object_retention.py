"""Which units of objects stay, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from recsync.maintain.units import BATCH, DELIVERIES, EXPORTS, FULL, RECOMMENDATIONS, Name, Unit
from recsync.program.intervals import parse_key
from recsync.program.operations import Retention


@dataclass(frozen=True)
class InUse:
    """What state says about objects.

    :param named: unit -> what names it.
    :param exports_since: intervals that begin at this moment or later may still be imported, or be compared with;
        None: all may.
    :param why_exports: why so, for the report.
    """

    named: Mapping[Name, str] = field(default_factory=dict)
    exports_since: datetime | None = None
    why_exports: str = ""


@dataclass(frozen=True)
class Verdict:
    """What becomes of a unit."""

    unit: Unit
    stays: bool
    why: str


def judge(units: Iterable[Unit], in_use: InUse, settings: Retention, now: datetime) -> list[Verdict]:
    """Say of each unit whether it stays."""
    everything = list(units)
    newest = _newest(everything, settings)
    return [_verdict(unit, _reason(unit, in_use, newest), settings, now) for unit in everything]


def _reason(unit: Unit, in_use: InUse, newest: Mapping[Name, str]) -> str | None:
    room, name = unit.name
    if room == EXPORTS and (in_use.exports_since is None or parse_key(name) >= in_use.exports_since):
        return in_use.why_exports
    if why := in_use.named.get(unit.name) or newest.get(unit.name):
        return why
    if room == BATCH:
        # A batch job's folder is named like the run, or like the run and its question.
        runs = {**newest, **in_use.named}
        return next(
            (why for key, why in runs.items() if key.room == RECOMMENDATIONS and _of(name, key)), None
        )
    return None


def _of(folder: str, run: Name) -> bool:
    return folder == run.unit or folder.startswith(f"{run.unit}-")


def _verdict(unit: Unit, reason: str | None, settings: Retention, now: datetime) -> Verdict:
    if reason is not None:
        return Verdict(unit, stays=True, why=reason)
    days = settings.export_days if unit.name.room == EXPORTS else settings.days
    written = f"last written {unit.modified:%Y-%m-%d}"
    if now - unit.modified < timedelta(days=days):
        return Verdict(unit, stays=True, why=f"{written}, younger than {days} days")
    return Verdict(unit, stays=False, why=f"{written}, {days} days or more ago; nothing uses it")


def _newest(units: list[Unit], settings: Retention) -> dict[Name, str]:
    """Give the newest published units of each room, which readers find by listing."""
    kept: dict[Name, str] = {}
    for room, number in ((FULL, settings.snapshots), (RECOMMENDATIONS, 1), (DELIVERIES, 1)):
        published = [unit for unit in units if unit.name.room == room and unit.manifests]
        # What was pushed by hand has a prefix; the rest of the names sorts by time.
        key: Callable[[Unit], str] = lambda unit: unit.name.unit.removeprefix("push-")  # ruff: ignore[lambda-assignment] - one use
        for unit in sorted(published, key=key, reverse=True)[:number]:
            kept[unit.name] = (
                f"one of the {number} newest published" if number > 1 else "the newest published"
            )
    return kept
