"""What a filter cannot do for a program's recipe and schemas."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from recsync.formatting import did_you_mean
from recsync.program.data import DatasetType
from recsync.program.filters import check_expression, subject_of, without_texts
from recsync.program.model import Program
from recsync.program.problem import Problem
from recsync.program.recipes import Asks, those_that

if TYPE_CHECKING:
    from recsync.program.avro import AvroSchema


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


# Datasets as filter expressions name them; letter case does not matter to the service.
# https://docs.aws.amazon.com/personalize/latest/dg/filter-expressions.html
_DATASETS = {
    "interactions": DatasetType.INTERACTIONS,
    "items": DatasetType.ITEMS,
    "users": DatasetType.USERS,
    "currentuser": DatasetType.USERS,
    "currentitem": DatasetType.ITEMS,
    "actions": DatasetType.ACTIONS,
    "action_interactions": DatasetType.ACTION_INTERACTIONS,
}
_COLUMN = re.compile(r"\b([A-Za-z_]+)\.([A-Za-z_]\w*)")
_FIELD = ("filters", "recommend", "expression")


def filter_column_problems(program: Program, schemas: Mapping[DatasetType, AvroSchema]) -> Iterator[Problem]:
    """Yield what the program's filter names and no dataset has."""
    chosen = program.filters.recommend
    if chosen is None:
        return
    for dataset, column in dict.fromkeys(_COLUMN.findall(without_texts(check_expression(chosen.expression)))):
        kind = _DATASETS.get(dataset.casefold())
        if kind is None:
            yield Problem(
                _FIELD,
                f"{dataset}.{column} names no dataset{did_you_mean(dataset, ('Interactions', 'Items', 'CurrentUser'))}",
            )
        elif kind not in schemas:
            yield Problem(
                _FIELD,
                f"{dataset}.{column} needs the dataset; add datasets.{kind.folder}: {{}}, or leave it out",
            )
        elif column.casefold() not in {each.casefold() for each in schemas[kind].columns}:
            yield Problem(
                _FIELD,
                f"{dataset}.{column} is not in the schema, which has {', '.join(schemas[kind].columns)}"
                + did_you_mean(column, schemas[kind].columns),
            )
