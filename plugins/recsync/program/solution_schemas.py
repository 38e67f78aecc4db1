"""What a solution needs of the schemas of the datasets it trains on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from recsync.formatting import did_you_mean
from recsync.program import DatasetType, Solution
from recsync.program.avro import AvroSchema
from recsync.program.avro_rules import NUMBERS
from recsync.program.problem import Problem


def solution_schema_problems(solution: Solution, kind: DatasetType, schema: AvroSchema) -> Iterator[Problem]:
    """Yield what is missing or of no use in one dataset's schema, by the field of the solution."""
    if kind is DatasetType.INTERACTIONS:
        yield from _event_problems(solution, schema)
    yield from _column_problems(solution, kind, schema)
    if kind is DatasetType.ITEMS and solution.optimization_objective:
        yield from _objective_problems(solution.optimization_objective.item_attribute, schema)


def _event_problems(solution: Solution, schema: AvroSchema) -> Iterator[Problem]:
    for field in ("event_type", "event_weights"):
        if getattr(solution, field) and "EVENT_TYPE" not in schema.columns:
            yield Problem((field,), "needs a field EVENT_TYPE of type string")


def _column_problems(solution: Solution, kind: DatasetType, schema: AvroSchema) -> Iterator[Problem]:
    excluded = _of(kind, solution.excluded_columns)
    included = _of(kind, solution.included_columns)
    for field, columns in (("excluded_columns", excluded), ("included_columns", included)):
        for column in columns:
            if column not in schema.columns:
                yield Problem(
                    (field, kind.folder),
                    f"names {column}; the schema has {', '.join(schema.columns)}"
                    + did_you_mean(column, schema.columns),
                )
    # https://docs.aws.amazon.com/personalize/latest/dg/custom-config-columns.html
    filters_only = {field.name for field in schema.metadata if not field.trains}
    for column in filters_only.intersection(included):
        yield Problem(
            ("included_columns", kind.folder),
            f"names {column}, which is neither categorical nor textual and so never trained on",
        )


def _of(kind: DatasetType, named: Mapping[Any, tuple[str, ...]]) -> tuple[str, ...]:
    return named.get(kind.folder, ())


# https://docs.aws.amazon.com/personalize/latest/dg/optimizing-solution-for-objective.html
def _objective_problems(column: str, schema: AvroSchema) -> Iterator[Problem]:
    found = next((field for field in schema.fields if field.name == column), None)
    if found is None or found.type not in NUMBERS or found.nullable:
        fit = [field.name for field in schema.metadata if field.type in NUMBERS and not field.nullable]
        there = f"there are {', '.join(fit)}" if fit else "the schema has none"
        yield Problem(
            ("optimization_objective", "item_attribute"),
            f"must be a numeric column without nulls; {there}{did_you_mean(column, fit)}",
            column,
        )
