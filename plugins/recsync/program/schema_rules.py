"""What a program needs of the schemas of its datasets, beyond what every schema must keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from recsync.formatting import did_you_mean
from recsync.program import DatasetType, Program, Solution
from recsync.program.avro import AvroSchema
from recsync.program.avro_rules import NUMBERS
from recsync.program.data import MAX_TYPES_AND_METADATA, Events
from recsync.program.problem import Problem
from recsync.program.recipes import Asks


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


def recipe_schema_problems(program: Program, kind: DatasetType, schema: AvroSchema) -> Iterator[Problem]:
    """Yield what is missing in the schema of one dataset."""
    for where, solution in program.personalize.solutions.items():
        for problem in solution_schema_problems(solution, kind, schema):
            yield Problem((*where, *problem.field), problem.text, problem.value)
    if kind is DatasetType.ITEMS:
        for text in _item_problems(program, schema):
            yield Problem(("personalize", "recipe"), text)


def _item_problems(program: Program, schema: AvroSchema) -> Iterator[str]:
    recipe = program.personalize.traits
    # https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-semantic-similarity.html
    if recipe.name == "aws-semantic-similarity":
        if not any(field.item_name for field in schema.fields):
            yield f'{recipe.name} needs a string field with "itemName": true, the name that people read'
        if not any(field.textual for field in schema.fields):
            yield f'{recipe.name} needs a string field with "textual": true, what the item is in sentences'
    if recipe.asks is Asks.SEGMENT_ATTRIBUTES and not any(
        field.type == "string" and not field.textual for field in schema.metadata
    ):
        yield f"{recipe.name} needs a string field that is not textual, to ask for its values"


_VALUE = "EVENT_VALUE"


def event_problems(events: Events, schema: AvroSchema) -> Iterator[Problem]:
    """Yield what in ``events`` cannot be met with the schema of the interactions."""
    if events.weights and _VALUE not in schema.columns:
        yield Problem(
            ("events", "types"),
            f"gives values to {', '.join(events.weights)}, but the schema has no {_VALUE}; add the field "
            f'{{"name": "{_VALUE}", "type": ["null", "float"]}} or leave the values empty',
        )
    taken = len(schema.metadata)
    if taken + len(events.types) > MAX_TYPES_AND_METADATA:
        yield Problem(
            ("events", "types"),
            f"names {len(events.types)} types and the schema has {taken} metadata fields; "
            f"Amazon Personalize takes at most {MAX_TYPES_AND_METADATA} of both together",
        )
