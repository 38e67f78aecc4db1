"""Check the content of a program file: each field by the model, and what the fields must be to each other."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from recsync.program.filter_rules import filter_problems
from recsync.program.model import Program
from recsync.program.recipe_rules import recipe_problems


def parse_program(name: str, document: Any) -> Program:
    """Check a program file's content (already read from YAML).

    :raises pydantic.ValidationError: with every problem at once.
    """
    content = {"name": name, **document} if isinstance(document, dict) else document
    program = Program.model_validate(content)
    problems = [
        InitErrorDetails(
            type=PydanticCustomError("recipe", "{text}", {"text": problem.text}),
            loc=problem.field,
            input={} if problem.value is None else problem.value,
        )
        for problem in (*recipe_problems(program), *filter_problems(program))
    ]
    if problems:
        raise ValidationError.from_exception_data(name, problems)
    return program
