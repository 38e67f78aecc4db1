"""Decide which objects, solutions, filters and schemas to keep, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Generic, NamedTuple, TypeVar

from recsync.program import DatasetType, Program, names
from recsync.program.intervals import parse_key
from recsync.program.operations import Retention
from recsync.stages import PREFIXES

T = TypeVar("T")

EXPORTS = "exports"
FULL = "full"
BATCH = "batch"
RECOMMENDATIONS = "recommendations"
DELIVERIES = "deliveries"
TABLES = "tables"
_BY_RUN = frozenset(name for name, prefix in PREFIXES.items() if prefix.expires) - {EXPORTS}
# Decisions are made from state, so it is never removed here.
_STATE = "state"
_DAY = timedelta(days=1)
# A partition of a table: <table>/date=<day>.
_PARTITION = re.compile(r"\w+/date=(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01]))(?=/)")


@dataclass(frozen=True)
class ListedObject:
    """One object of a listing."""

    key: str
    size_bytes: int
    modified: datetime
    etag: str = ""


class UnitName(NamedTuple):
    """The name of a unit: objects that are kept or removed together.

    :param prefix: first folder below the program's, e.g. ``exports``.
    :param unit: name of the interval, the run or the delivery; of a table, its partition.
    """

    prefix: str
    unit: str


@dataclass(frozen=True)
class Unit:
    """The objects of one interval, run or delivery.

    :param manifests: publish the others, so they are removed first: no reader meets a half-deleted unit.
    """

    name: UnitName
    manifests: tuple[ListedObject, ...]
    others: tuple[ListedObject, ...]

    @property
    def objects(self) -> tuple[ListedObject, ...]:
        """All objects, in the order of their removal."""
        return self.manifests + self.others

    @property
    def size_bytes(self) -> int:
        """Size of all objects."""
        return sum(listed.size_bytes for listed in self.objects)

    @property
    def modified(self) -> datetime:
        """When the newest object was written."""
        return max(listed.modified for listed in self.objects)


@dataclass(frozen=True)
class RetentionDecision(Generic[T]):
    """Whether to keep a unit or a resource.

    :param recent: kept only because it is recent.
    """

    subject: T
    keep: bool
    why: str
    recent: bool = False


def unit_of(key: str) -> UnitName | None:
    """Return the unit of a key, or of a folder that ends with a slash; None when it belongs to none.

    :param key: with the program's folder.
    """
    _, prefix, *rest = f"{key}//".split("/")
    if prefix == TABLES:
        partition = _PARTITION.match("/".join(rest))
        return UnitName(prefix, partition[0]) if partition else None
    if prefix == EXPORTS:
        interval = next((found for part in rest if (found := _interval(part))), None)
        return UnitName(prefix, interval) if interval else None
    return UnitName(prefix, rest[0].removesuffix(".json")) if prefix in _BY_RUN and rest[0] else None


def _interval(part: str) -> str | None:
    # A file's name ends with its kind; a warehouse unloads into a folder named like the interval.
    name = part.split(".", 1)[0]
    try:
        parse_key(name)
    except ValueError:
        return None
    return name


def group_by_unit(listing: Iterable[ListedObject]) -> tuple[list[Unit], list[ListedObject]]:
    """Group a program's objects into units.

    :returns: the units, and the objects that recsync does not write; state is in neither.
    """
    found: dict[UnitName, list[ListedObject]] = {}
    orphans: list[ListedObject] = []
    for listed in listing:
        if name := unit_of(listed.key):
            found.setdefault(name, []).append(listed)
        elif listed.key.split("/")[1:2] != [_STATE]:
            orphans.append(listed)
    return [_unit(name, objects) for name, objects in sorted(found.items())], orphans


def _unit(name: UnitName, objects: list[ListedObject]) -> Unit:
    manifests = tuple(listed for listed in objects if _publishes(name, listed.key))
    return Unit(name, manifests, tuple(listed for listed in objects if listed not in manifests))


def _publishes(name: UnitName, key: str) -> bool:
    if name.prefix == EXPORTS:
        return key.split("/")[2] == "manifests"
    return key.split("/")[3:] == [PREFIXES[name.prefix].manifest]


@dataclass(frozen=True)
class InUse:
    """The units that state refers to.

    :param named: unit -> what uses it.
    :param exports_since: intervals that begin at this moment or later may still be imported, or compared with;
        None: all may.
    :param why_exports: why, for the report.
    :param list_days: for how many days the rules of programs read published lists and deliveries.
    """

    named: Mapping[UnitName, str] = field(default_factory=dict)
    exports_since: datetime | None = None
    why_exports: str = ""
    list_days: int = 0


def decide_objects(
    units: Iterable[Unit], in_use: InUse, settings: Retention, now: datetime
) -> list[RetentionDecision[Unit]]:
    """Decide about each unit."""
    everything = list(units)
    used = {**_newest(everything, settings), **in_use.named}
    days = {EXPORTS: settings.export_days, TABLES: settings.table_days}
    days |= dict.fromkeys((RECOMMENDATIONS, DELIVERIES), max(settings.days, in_use.list_days))
    return [
        _decide_unit(unit, _use_of(unit.name, in_use, used), days.get(unit.name.prefix, settings.days), now)
        for unit in everything
    ]


def _use_of(name: UnitName, in_use: InUse, used: Mapping[UnitName, str]) -> str | None:
    since = in_use.exports_since
    if name.prefix == EXPORTS and (since is None or parse_key(name.unit) >= since):
        return in_use.why_exports
    if name in used or name.prefix != BATCH:
        return used.get(name)
    # A batch job's folder is named like the run, or like the run and its question.
    runs = ((key.unit, why) for key, why in used.items() if key.prefix == RECOMMENDATIONS)
    return next((why for run, why in runs if name.unit == run or name.unit.startswith(f"{run}-")), None)


def _decide_unit(unit: Unit, use: str | None, days: int, now: datetime) -> RetentionDecision[Unit]:
    if use is not None:
        return RetentionDecision(unit, keep=True, why=use)
    if unit.name.prefix == TABLES:
        # By the day of the partition: an erasure rewrites its objects and so renews their time.
        since = datetime.fromisoformat(unit.name.unit.rpartition("=")[2]).replace(tzinfo=UTC)
        written = f"of {since:%Y-%m-%d}"
    else:
        since, written = unit.modified, f"last written {unit.modified:%Y-%m-%d}"
    if now - since < timedelta(days=days):
        return RetentionDecision(unit, keep=True, why=f"{written}, less than {days} days ago", recent=True)
    return RetentionDecision(unit, keep=False, why=f"{written}, {days} days or more ago; nothing uses it")


def _newest(units: list[Unit], settings: Retention) -> dict[UnitName, str]:
    """Return the newest published units of each prefix, which readers find by listing."""
    kept: dict[UnitName, str] = {}
    for prefix, number in ((FULL, settings.snapshots), (RECOMMENDATIONS, 1), (DELIVERIES, 1)):
        # A push by hand has a prefix; the rest of the names sorts by time.
        published = sorted(
            (unit.name for unit in units if unit.name.prefix == prefix and unit.manifests),
            key=lambda name: name.unit.removeprefix("push-"),
            reverse=True,
        )
        why = f"one of the {number} newest published" if number > 1 else "the newest published"
        kept |= dict.fromkeys(published[:number], why)
    return kept


@dataclass(frozen=True)
class AccountResource:
    """One resource of Amazon Personalize.

    :param changed: when it, or its newest version, was created or changed.
    :param busy: the pending operation, as text; empty without one.
    """

    arn: str
    name: str
    changed: datetime
    busy: str = ""


def owns_solution(program: Program, name: str) -> bool:
    """Return whether recsync named this solution of the program's dataset group."""
    return names.recipe_of_version(program, f":solution/{name}/version") is not None


def owns_schema(program: Program, name: str) -> bool:
    """Return whether recsync named this schema, for this program."""
    kinds = "|".join(kind.folder for kind in DatasetType)
    return re.fullmatch(rf"{re.escape(program.name)}-({kinds})-[0-9a-f]{{8}}", name) is not None


def owns_filter(program: Program, name: str) -> bool:
    """Return whether recsync named this filter of the program's dataset group."""
    return re.fullmatch(rf"{re.escape(program.name)}-filter-[0-9a-f]{{12}}", name) is not None


def decide_solutions(
    program: Program, found: Iterable[AccountResource], in_use: Mapping[str, str], now: datetime
) -> list[RetentionDecision[AccountResource]]:
    """Decide about each of the program's solutions.

    :param in_use: ARN of a solution -> what uses it.
    """
    settings = program.retention
    recipes = {program.personalize.recipe, program.personalize.baseline_recipe}
    if program.audience.segment:
        recipes.add(names.SEGMENT_RECIPE)
    configured = {names.solution_name(program, recipe) for recipe in recipes if recipe}
    solutions = sorted(found, key=lambda each: (each.changed, each.arn))

    def use_of(each: AccountResource) -> str:
        asked = "the program file asks for it" if each.name in configured else ""
        return in_use.get(each.arn) or each.busy or asked

    unused = [each for each in solutions if not use_of(each)]
    # The first day is exempt: a running training has just created its solution.
    surplus = unused[: max(len(solutions) - settings.solutions, 0)]
    surplus_arns = {each.arn for each in surplus if now - each.changed >= _DAY}
    too_many = f"unused, and the dataset group has more than {settings.solutions} solutions"
    return [
        RetentionDecision(each, keep=False, why=too_many)
        if each.arn in surplus_arns
        else _decide_resource(each, use_of(each), settings.solution_days, now)
        for each in solutions
    ]


def decide_unused(
    found: Iterable[AccountResource], in_use: Mapping[str, str], days: int, now: datetime
) -> list[RetentionDecision[AccountResource]]:
    """Decide about each resource: keep used and recent ones."""
    return [_decide_resource(each, in_use.get(each.arn), days, now) for each in found]


def _decide_resource(
    each: AccountResource, use: str | None, days: int, now: datetime
) -> RetentionDecision[AccountResource]:
    if use:
        return RetentionDecision(each, keep=True, why=use)
    if now - each.changed < timedelta(days=days):
        why = f"changed {each.changed:%Y-%m-%d}, less than {days} days ago"
        return RetentionDecision(each, keep=True, why=why, recent=True)
    return RetentionDecision(
        each, keep=False, why=f"unused since {each.changed:%Y-%m-%d}, {days} days or more"
    )


def solution_of(arn: str) -> str:
    """Return the ARN of a version's solution, or of the solution itself."""
    return "/".join(arn.split("/")[:2])


def versions_needed(history: Sequence[tuple[str, str]], champions: int) -> dict[str, str]:
    """Return the solutions of the last champions, each with what uses it.

    :param history: solution version and segment version (or nothing) of every champion, oldest first.
    """
    # Rolling back and forth repeats the same versions; they count once, so that others stay reachable.
    last = list(dict.fromkeys(reversed(history)))[:champions]
    needed: dict[str, str] = {}
    for number, versions in enumerate(last):
        why = "a rollback may go back to a version of it" if number else "the champion is a version of it"
        for version in filter(None, versions):
            needed.setdefault(solution_of(version), why)
    return needed
