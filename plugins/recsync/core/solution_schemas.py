"""What a solution needs of the schemas of the datasets it trains on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from recsync.core.avro import AvroSchema
from recsync.core.avro_rules import NUMBERS
from recsync.core.program import DatasetType, Solution


def solution_schema_problems(solution: Solution, kind: DatasetType, schema: AvroSchema) -> Iterator[str]:
    """Yield what is missing or of no use in one dataset's schema, beginning with the field of the solution."""
    if kind is DatasetType.INTERACTIONS:
        yield from _event_problems(solution, schema)
    yield from _column_problems(solution, kind, schema)
    if kind is DatasetType.ITEMS and solution.optimization_objective:
        yield from _objective_problems(solution.optimization_objective.item_attribute, schema)


def _event_problems(solution: Solution, schema: AvroSchema) -> Iterator[str]:
    for field in ("event_type", "event_weights"):
        if getattr(solution, field) and "EVENT_TYPE" not in schema.columns:
            yield f"{field} needs a field EVENT_TYPE of type string"


def _column_problems(solution: Solution, kind: DatasetType, schema: AvroSchema) -> Iterator[str]:
    excluded = _of(kind, solution.excluded_columns)
    included = _of(kind, solution.included_columns)
    for field, columns in (("excluded_columns", excluded), ("included_columns", included)):
        for column in columns:
            if column not in schema.columns:
                yield f"{field} names {column}; the schema has {', '.join(schema.columns)}"
    # https://docs.aws.amazon.com/personalize/latest/dg/custom-config-columns.html
    filters_only = {field.name for field in schema.metadata if not field.trains}
    for column in filters_only.intersection(included):
        yield f"included_columns names {column}, which is neither categorical nor textual and so never trained on"


def _of(kind: DatasetType, named: Mapping[Any, tuple[str, ...]]) -> tuple[str, ...]:
    return named.get(kind.folder, ())


# https://docs.aws.amazon.com/personalize/latest/dg/optimizing-solution-for-objective.html
def _objective_problems(column: str, schema: AvroSchema) -> Iterator[str]:
    found = next((field for field in schema.fields if field.name == column), None)
    if found is None or found.type not in NUMBERS or found.nullable:
        fit = [field.name for field in schema.metadata if field.type in NUMBERS and not field.nullable]
        yield (
            f"optimization_objective.item_attribute is {column}, which is no numeric column without nulls; "
            f"{', '.join(fit) or 'the schema has none'}"
        )
