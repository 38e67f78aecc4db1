"""What a filter cannot do for a program's recipe."""

from __future__ import annotations

from collections.abc import Iterator

from recsync.program.filters import check_expression, subject_of
from recsync.program.model import Program
from recsync.program.problem import Problem
from recsync.program.recipes import Asks, those_that

_SUBJECTS = {Asks.ACTIONS: "ActionID", Asks.SEGMENT_ITEM: "UserID", Asks.SEGMENT_ATTRIBUTES: "UserID"}
# One line of their input is about one person.
_ABOUT_PEOPLE = frozenset({Asks.USER, Asks.RANKING, Asks.ACTIONS})


def filter_problems(program: Program) -> Iterator[Problem]:
    """Yield what the program asks of its filter in vain."""
    chosen, recipe = program.filters.recommend, program.personalize.traits
    if chosen is None:
        return
    expression = check_expression(chosen.expression)
    wanted, found = _SUBJECTS.get(recipe.asks, "ItemID"), subject_of(expression)
    if found != wanted:
        yield Problem(
            ("filters", "recommend", "expression"),
            f"is about {found}, but {recipe.name} needs one about {wanted}",
        )
    if chosen.values and recipe.asks not in _ABOUT_PEOPLE:
        yield Problem(
            ("filters", "recommend", "values"),
            f"{recipe.name} is not asked about single people, so they can have no values of their own; "
            f"{those_that(lambda other: other.asks in _ABOUT_PEOPLE)} are",
        )
