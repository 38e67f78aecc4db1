"""Which solutions and schemas stay, and why; which resources are nobody's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from recsync.program import DatasetType, Program, names

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Held:
    """One resource of Amazon Personalize.

    :param touched: when it, or the newest version of it, was made or changed.
    :param busy: what goes on in it, in words; empty when nothing does.
    """

    arn: str
    name: str
    touched: datetime
    busy: str = ""


@dataclass(frozen=True)
class Verdict:
    """What becomes of a resource."""

    resource: Held
    stays: bool
    why: str


def owns_solution(program: Program, name: str) -> bool:
    """Tell whether a solution of the program's dataset group is one that recsync made."""
    return names.recipe_of_version(program, f":solution/{name}/version") is not None


def owns_schema(program: Program, name: str) -> bool:
    """Tell whether a schema has a name that only recsync gives, for this program."""
    kinds = "|".join(kind.folder for kind in DatasetType)
    return re.fullmatch(rf"{re.escape(program.name)}-({kinds})-[0-9a-f]{{8}}", name) is not None


def owns_filter(program: Program, name: str) -> bool:
    """Tell whether a filter of the program's dataset group is one that recsync made."""
    return re.fullmatch(rf"{re.escape(program.name)}-filter-[0-9a-f]{{12}}", name) is not None


def named_solutions(program: Program) -> set[str]:
    """Name the plain solutions that the program file asks for; they are trained again and again."""
    recipes = {program.personalize.recipe, program.personalize.baseline_recipe}
    if program.audience.segment:
        recipes.add(names.SEGMENT_RECIPE)
    return {names.solution_name(program, recipe) for recipe in recipes if recipe}


def judge_solutions(
    program: Program, found: Iterable[Held], in_use: Mapping[str, str], now: datetime
) -> list[Verdict]:
    """Say of each of the program's solutions whether it stays.

    :param in_use: ARN of a solution -> what uses it.
    """
    settings, asked_for = program.retention, named_solutions(program)
    solutions = sorted(found, key=lambda each: (each.touched, each.arn))
    spare = [each for each in solutions if not (each.arn in in_use or each.busy or each.name in asked_for)]
    # A day's grace: a run that is at work has just made its solution.
    too_many = max(len(solutions) - settings.solutions, 0)
    crowded = {each.arn for each in spare[:too_many] if now - each.touched >= _DAY}
    verdicts = []
    for each in solutions:
        why = in_use.get(each.arn) or each.busy
        if not why and each.name in asked_for:
            why = "the program file asks for it"
        if why:
            verdicts.append(Verdict(each, stays=True, why=why))
        elif each.arn in crowded:
            why = f"unused, and the dataset group holds more than {settings.solutions} solutions"
            verdicts.append(Verdict(each, stays=False, why=why))
        else:
            verdicts.append(_by_age(each, settings.solution_days, now))
    return verdicts


def judge_unused(found: Iterable[Held], in_use: Mapping[str, str], days: int, now: datetime) -> list[Verdict]:
    """Say of each resource whether it stays: what is used does, and what is young."""
    return [
        Verdict(each, stays=True, why=in_use[each.arn]) if each.arn in in_use else _by_age(each, days, now)
        for each in found
    ]


def solution_of(arn: str) -> str:
    """Give the ARN of a version's solution; that of a solution is returned as it is."""
    return "/".join(arn.split("/")[:2])


def versions_needed(history: Sequence[tuple[str, str]], champions: int) -> dict[str, str]:
    """Give the solutions of the last champions.

    :param history: solution version and segment version (or nothing) of every champion, oldest first.
    :returns: ARN of the solution -> what uses it.
    """
    # Rolling back and forth names the same two versions again and again; others must stay reachable all the same.
    last = list(dict.fromkeys(reversed(history)))[:champions]
    needed: dict[str, str] = {}
    for number, versions in enumerate(last):
        why = (
            "the champion is a version of it" if number == 0 else "a rollback may go back to a version of it"
        )
        for version in filter(None, versions):
            needed.setdefault(solution_of(version), why)
    return needed


def _by_age(each: Held, days: int, now: datetime) -> Verdict:
    if now - each.touched < timedelta(days=days):
        return Verdict(each, stays=True, why=f"touched {each.touched:%Y-%m-%d}, less than {days} days ago")
    return Verdict(each, stays=False, why=f"unused since {each.touched:%Y-%m-%d}, {days} days or more")
