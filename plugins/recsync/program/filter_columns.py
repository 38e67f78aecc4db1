"""Compare the columns that a filter expression names with the schemas of the datasets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from recsync.formatting import did_you_mean
from recsync.program.data import DatasetType
from recsync.program.filters import check_expression, without_texts
from recsync.program.model import Program
from recsync.program.problem import Problem

if TYPE_CHECKING:
    from recsync.program.avro import AvroSchema

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
