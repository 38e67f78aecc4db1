"""What a program's recipe needs of the schemas of its datasets, beyond what every schema must keep."""

from __future__ import annotations

from collections.abc import Iterator

from recsync.program import DatasetType, Program
from recsync.program.avro import AvroSchema
from recsync.program.problem import Problem
from recsync.program.recipes import Asks
from recsync.program.solution_schemas import solution_schema_problems


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
