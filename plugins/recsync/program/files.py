"""Read program files and say everything that is wrong with them: file, line, field, value, what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from recsync.errors import FatalError, ProgramError
from recsync.formatting import closest
from recsync.program import DatasetType, Program, parse_program
from recsync.program.avro import AvroSchema
from recsync.program.filter_rules import filter_column_problems
from recsync.program.problem import Problem
from recsync.program.schema_rules import event_problems, recipe_schema_problems
from recsync.program.shared_names import connection_id, shared_name_problems
from recsync.program.text_files import read_text_file
from recsync.program.yaml_file import YamlFile, line_of_name

SUFFIX = ".yaml"

Schemas = Mapping[DatasetType, AvroSchema]


def program_files(include: Path) -> list[Path]:
    """List the program files below ``include/programs``, by name."""
    return sorted((include / "programs").glob(f"*{SUFFIX}"))


def program_yaml(path: Path) -> YamlFile:
    """Read a program file's YAML, for the lines of its fields.

    :raises ProgramError: when it is no YAML.
    """
    return YamlFile.read(path, path.name)


def read_program(path: Path, include: Path) -> Program:
    """Read one program file and check it, and that every file it names is there and readable.

    :raises ProgramError: with all problems, one line each.
    """
    file = program_yaml(path)
    try:
        program = parse_program(path.stem, file.document)
    except ValidationError as error:
        raise ProgramError(file.explained(error.errors(), Program)) from None
    if problems := list(_file_problems(file, program, include)):
        raise ProgramError(problems)
    return program


def read_programs(include: Path) -> tuple[dict[str, Program], dict[str, ProgramError]]:
    """Read every program file.

    :returns: the programs that are sound and the errors of the others, by name.
    """
    sound, broken = {}, {}
    for path in program_files(include):
        try:
            sound[path.stem] = read_program(path, include)
        except ProgramError as error:
            broken[path.stem] = error
    return sound, broken


def shared_problems(
    programs: Mapping[str, Program], include: Path, workspace: Callable[[Program], str] = connection_id
) -> dict[str, list[str]]:
    """Return what several programs write to at once, by program; programs without such a problem are not in it.

    :param workspace: tells one Braze workspace from another.
    """
    found = shared_name_problems(programs.values(), workspace)
    return {
        name: program_yaml(include / "programs" / f"{name}{SUFFIX}").lines_of(problems)
        for name, problems in found.items()
    }


def read_schemas(program: Program, include: Path) -> dict[DatasetType, AvroSchema]:
    """Read the Avro schemas of a program that was checked."""
    return {
        kind: AvroSchema.parse(_schema_text(program, kind, include), kind) for kind in program.dataset_types
    }


def _schema_text(program: Program, kind: DatasetType, include: Path) -> str:
    name = f"schemas/{program.schema_file(kind)}"
    return read_text_file(include / name, f"include/{name}")


def _file_problems(file: YamlFile, program: Program, include: Path) -> Iterator[str]:
    missing = [name for name in program.files() if not (include / name).is_file()]
    for name in missing:
        yield file.line_of(Problem(program.field_of_file(name), _missing(name, include)))
    schemas: dict[DatasetType, AvroSchema] = {}
    for kind in program.dataset_types:
        name = f"schemas/{program.schema_file(kind)}"
        if name in missing:
            continue
        try:
            text = _schema_text(program, kind, include)
            schemas[kind] = AvroSchema.parse(text, kind)
        except FatalError as error:
            yield str(error)
        except ValueError as error:
            named = re.search(r"field (\w+)", str(error))
            yield f"include/{name}:{line_of_name(text, named[1] if named else '')}: {error}"
    problems = [
        problem for kind, schema in schemas.items() for problem in _schema_problems(program, kind, schema)
    ]
    if len(schemas) == len(program.dataset_types):
        problems += filter_column_problems(program, schemas)
    yield from file.lines_of(problems)


def _schema_problems(program: Program, kind: DatasetType, schema: AvroSchema) -> Iterator[Problem]:
    found = [*recipe_schema_problems(program, kind, schema)]
    if kind is DatasetType.INTERACTIONS:
        found += event_problems(program.events, schema)
    for problem in found:
        yield Problem(
            problem.field, f"{problem.text} (include/schemas/{program.schema_file(kind)})", problem.value
        )


def _missing(name: str, include: Path) -> str:
    path = include / name
    others = [other.name for other in sorted(path.parent.glob(f"*{path.suffix}"))]
    alike = closest(path.name, others, likeness=0.8)
    hint = (
        f", or did you mean {path.parent.relative_to(include / name.split('/', 1)[0])}/{alike}?"
        if alike
        else ""
    )
    return f"include/{name} does not exist; write it{hint}"
