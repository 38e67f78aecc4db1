"""Read program files and say everything that is wrong with them: file, line, field, value, what is allowed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from recsync.core.avro import AvroSchema
from recsync.core.program import DatasetType, Program, parse_program
from recsync.core.queries.event_mapping import event_problems
from recsync.core.recipe_schemas import recipe_schema_problems
from recsync.core.text_files import read_text_file
from recsync.errors import FatalError, ProgramError

SUFFIX = ".yaml"


def program_files(include: Path) -> list[Path]:
    """List the program files below ``include/programs``, by name."""
    return sorted((include / "programs").glob(f"*{SUFFIX}"))


def read_program(path: Path, include: Path) -> Program:
    """Read one program file and check it, and that every file it names is there and readable.

    :raises ProgramError: with all problems, one line each.
    """
    node, document = _read_yaml(path)
    try:
        program = parse_program(path.stem, document)
    except ValidationError as error:
        raise ProgramError([_problem(path, node, detail) for detail in error.errors()]) from None
    problems = list(_file_problems(path, program, include))
    if problems:
        raise ProgramError(problems)
    return program


def _read_yaml(path: Path) -> tuple[yaml.Node | None, Any]:
    try:
        text = read_text_file(path, path.name)
        return yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except FatalError as error:
        raise ProgramError([str(error)]) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ProgramError([f"{path.name}:{line}: not valid YAML: {error.problem}"]) from None


def _problem(path: Path, node: yaml.Node | None, detail: ErrorDetails) -> str:
    # A default key alias ("schema") is what stands in the file, so the location already names it.
    location = [part for part in detail["loc"] if part != "[key]"]
    field = ".".join(str(part) for part in location) or "the file"
    if detail["type"] == "extra_forbidden":
        message = "unknown field; look for a typing error"
    else:
        message = detail["msg"].removeprefix("Value error, ")
    given = detail["input"]
    shown = "" if isinstance(given, dict | list) or detail["type"] == "missing" else f" (it is {given!r})"
    return f"{path.name}:{_line(node, location)}: {field}: {message}{shown}"


def _line(node: yaml.Node | None, location: Sequence[int | str]) -> int:
    """Find the line of the deepest part of ``location`` that stands in the file."""
    line = node.start_mark.line if node else 0
    for part in location:
        child = _child(node, part)
        if child is None:
            break
        line, node = child
    return line + 1


def _child(node: yaml.Node | None, part: int | str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line, node.value[part]
    return None


def _file_problems(path: Path, program: Program, include: Path) -> Iterator[str]:
    for name in program.files():
        if not (include / name).is_file():
            yield f"{path.name}: include/{name} does not exist; the program needs it"
    for dataset_type in program.dataset_types:
        name = f"schemas/{program.schema_file(dataset_type)}"
        if (include / name).is_file():
            try:
                schema = AvroSchema.parse(read_text_file(include / name, f"include/{name}"), dataset_type)
            except FatalError as error:
                yield str(error)
                continue
            except (ValueError, json.JSONDecodeError) as error:
                yield f"include/{name}: {error}"
                continue
            found = [*recipe_schema_problems(program, dataset_type, schema)]
            if dataset_type is DatasetType.INTERACTIONS:
                found += event_problems(program.events, schema)
            yield from (f"{path.name}: {problem} (include/{name})" for problem in found)
