"""Parse a program file's content: check it, and take what it shares from the files of other programs.

A program that uses the data or the model of another one takes what these decide from that file; its own may not say it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from recsync.errors import ProgramError
from recsync.program.model import Program
from recsync.program.personalize import Personalize, Solution
from recsync.program.problems import Problem
from recsync.program.rules import recipe_problems

Other = Callable[[str], tuple[Any, Callable[[], Program]]]
"""Finds another program file: its content, and a function that reads it whole. Raises KeyError when there is none."""

# Only the owner's file has these settings of the data.
_OF_DATA = ("warehouse", "aws", "bucket", "role_arn", "datasets", "events", "exports", "erasure")
_DATA_ONLY = (
    *((name,) for name in (*_OF_DATA, "train_full", "train_update")),
    *(("personalize", name) for name in ("attribution", "update_by", "streaming")),
    ("schedules", "export"),
    ("schedules", "train_full"),
)
_SOLUTION = tuple(Solution.model_fields)
_OF_MODEL = (*_SOLUTION, *("baseline_recipe", "tuning", "challengers", "promote_best"))
_MODEL_ONLY = (
    ("gate",),
    *(("personalize", name) for name in _OF_MODEL),
    ("schedules", "tune"),
    ("schedules", "recommend_after_update"),
)


def parse_program(name: str, document: Any, other: Other | None = None) -> Program:
    """Check a program file's content (already read from YAML).

    :param other: finds the program files that it may share data with.
    :raises pydantic.ValidationError: with every problem at once.
    """
    content = {"name": name, **document} if isinstance(document, dict) else document
    program, shared = _resolve(Program.model_validate(content), document, other)
    problems = [
        InitErrorDetails(
            type=PydanticCustomError("recipe", "{text}", {"text": problem.text}),
            loc=problem.field,
            input={} if problem.value is None else problem.value,
        )
        # What the owners' files say is not known while these are wrong.
        for problem in shared or recipe_problems(program)
    ]
    if problems:
        raise ValidationError.from_exception_data(name, problems)
    return program


def _resolve(program: Program, document: Any, other: Other | None) -> tuple[Program, list[Problem]]:
    """Give a program what it takes from the owners of its data and its model.

    :param document: the content of its file.
    :param other: finds another program file; None when there are no others.
    :returns: the program, and the mistakes in how it shares.
    """
    model = program.personalize.model
    if program.data is None:
        alone = Problem(("personalize", "model"), "needs data: the program whose data both use", model)
        return program, [alone] if model else []
    problems = list(
        _misplaced(document, _DATA_ONLY, f"is decided in {program.data}.yaml, which owns the data")
    )
    if model:
        text = f"is decided in {model}.yaml, which owns the model"
        problems += _misplaced(document, _MODEL_ONLY, text)
    try:
        owner = _owner(program, other)
        teacher = _teacher(program, owner, other) if model else None
    except _CannotShare as error:
        return program, [*problems, error.problem]
    shared = {name: getattr(owner, name) for name in _OF_DATA}
    if teacher:
        shared["personalize"] = _with_model(program.personalize, teacher.personalize)
        if program.audience.segment and not teacher.audience.segment:
            text = f"needs a model that finds people, and {model}.yaml has no audience.segment; write it there too"
            problems.append(Problem(("audience", "segment"), text))
    return program.sharing(owner, teacher, **shared), problems


class _CannotShare(Exception):  # ruff: ignore[error-suffix-on-exception-name] - carries a problem, and leaves this module never
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


def _owner(program: Program, other: Other | None) -> Program:
    name, field = str(program.data), ("data",)
    if name == program.name:
        raise _CannotShare(Problem(field, "is the program itself; remove the line", name))
    document, read = _found(name, field, other)
    if further := document.get("data"):
        text = f"uses the data of {further} itself; name the owner, data: {further}"
        raise _CannotShare(Problem(field, text, name))
    return _read(name, field, read)


def _teacher(program: Program, owner: Program, other: Other | None) -> Program:
    name, field = str(program.personalize.model), ("personalize", "model")
    if name == owner.name:
        return owner
    if name == program.name:
        raise _CannotShare(Problem(field, "is the program itself; remove the line", name))
    document, read = _found(name, field, other)
    if document.get("data") != owner.name:
        text = (
            f"does not use the data of {owner.name}; name {owner.name} or a program with data: {owner.name}"
        )
        raise _CannotShare(Problem(field, text, name))
    settings = document.get("personalize")
    if isinstance(settings, Mapping) and (further := settings.get("model")):
        raise _CannotShare(Problem(field, f"asks the model of {further} itself; name {further}", name))
    return _read(name, field, read)


def _found(
    name: str, field: tuple[str, ...], other: Other | None
) -> tuple[Mapping[str, Any], Callable[[], Program]]:
    try:
        document, read = other(name) if other else ({}, None)
    except KeyError:
        read = None
    except ProgramError:
        raise _CannotShare(_broken(name, field)) from None
    if read is None:
        raise _CannotShare(Problem(field, f"there is no include/programs/{name}.yaml", name))
    return document if isinstance(document, Mapping) else {}, read


def _read(name: str, field: tuple[str, ...], read: Callable[[], Program]) -> Program:
    try:
        return read()
    except ProgramError:
        raise _CannotShare(_broken(name, field)) from None


def _broken(name: str, field: tuple[str, ...]) -> Problem:
    return Problem(field, f"{name}.yaml must be corrected first: its own problems are listed with it", name)


def _misplaced(document: Any, fields: tuple[tuple[str, ...], ...], text: str) -> Iterator[Problem]:
    for field in fields:
        value = document
        for part in field:
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            yield Problem(field, f"{text}; remove it here")


def _with_model(own: Personalize, teacher: Personalize) -> Personalize:
    return own.model_copy(update={name: getattr(teacher, name) for name in _SOLUTION})
