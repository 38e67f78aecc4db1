"""Read program files, and report all their mistakes and the names that two programs share."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from recsync.errors import FatalError, ProgramError
from recsync.formatting import closest, did_you_mean
from recsync.program import DatasetType, Program
from recsync.program.attribution import LATE_EVENTS_DAYS
from recsync.program.avro import AvroSchema
from recsync.program.experiment_rules import problems_between
from recsync.program.filters import filter_column_problems
from recsync.program.parse import parse_program
from recsync.program.problems import Field, Problem, YamlFile, line_of_name, read_text_file
from recsync.program.rules import schema_problems

SUFFIX = ".yaml"


def connection_id(program: Program) -> str:
    """Tell Braze workspaces apart by connection id, where connections cannot be read."""
    return program.braze.connection


def program_files(include: Path) -> list[Path]:
    """List the program files below ``include/programs``, by name."""
    return sorted((include / "programs").glob(f"*{SUFFIX}"))


def program_yaml(path: Path) -> YamlFile:
    """Read a program file's YAML, for the lines of its fields.

    :raises ProgramError: when it is no YAML.
    """
    return YamlFile.read(path, path.name)


def read_program(path: Path, include: Path) -> Program:
    """Read and check one program file and the files that it names.

    :raises ProgramError: with all problems, one line each.
    """
    file = program_yaml(path)

    def other(name: str) -> tuple[Any, Callable[[], Program]]:
        beside = path.with_name(f"{name}{SUFFIX}")
        if not beside.is_file():
            raise KeyError(name)
        return program_yaml(beside).document, lambda: read_program(beside, include)

    try:
        program = parse_program(path.stem, file.document, other)
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


def sharers(owner: str, include: Path) -> list[str]:
    """List the programs with ``data: <owner>`` in their files, broken files too, as far as they are YAML."""
    return [path.stem for path in program_files(include) if _data_of(path) == owner]


def owners(include: Path) -> list[str]:
    """Name the programs with data of their own, also broken ones."""
    return [path.stem for path in program_files(include) if _data_of(path) is None]


def _data_of(path: Path) -> Any:
    with suppress(ProgramError):
        document = program_yaml(path).document
        return document.get("data") if isinstance(document, dict) else None
    return None


def shared_problems(
    programs: Mapping[str, Program], include: Path, workspace: Callable[[Program], str] = connection_id
) -> dict[str, list[str]]:
    """Return the attributes and catalogs that several programs write to, as problems by program.

    :param workspace: returns the id of a program's Braze workspace.
    """
    writers: dict[tuple[str, str, str], dict[str, Field]] = defaultdict(dict)
    for name, program in programs.items():
        braze, scope = program.braze, workspace(program)
        for attribute in braze.written:
            writers["Braze attribute", scope, attribute.name][name] = ("braze", *attribute.field)
        if braze.catalog:
            writers["Braze catalog", scope, braze.catalog.name][name] = ("braze", "catalog", "name")
    for name, program in programs.items():
        # Programs may share a status catalog, but not have one among their items.
        place = ("Braze catalog", workspace(program), program.braze.status_catalog or "")
        if place in writers:
            writers[place].setdefault(name, ("braze", "status_catalog"))
    problems: dict[str, list[Problem]] = defaultdict(list)
    for (kind, _, shared), fields in writers.items():
        for name, field in fields.items() if len(fields) > 1 else ():
            others = ", ".join(f"{other}.yaml" for other in fields if other != name)
            text = (
                f"{others} writes to the same {kind}, so the programs would replace each other's writes; "
                f"write another name, such as {shared}_{name.replace('-', '_')}"
            )
            problems[name].append(Problem(field, text, shared))
    return {
        name: program_yaml(include / "programs" / f"{name}{SUFFIX}").lines_of(found)
        for name, found in problems.items()
    }


def missing_programs(programs: Mapping[str, Program], include: Path) -> dict[str, list[str]]:
    """Return the programs that rules name and that have no file, as problems by program."""
    there = [path.stem for path in program_files(include)]
    problems: dict[str, list[str]] = {}
    for name, program in programs.items():
        rules, found = program.recommendations.rules, []
        mailed = rules.mailed(name)
        fields = (
            (("not_in",), rules.not_in),
            (("not_mailed_in_days", "programs"), mailed.programs if mailed else ()),
        )
        for field, named in fields:
            for place, other in enumerate(named):
                where = ("recommendations", "rules", *field, place)
                if other not in there:
                    text = f"there is no include/programs/{other}{SUFFIX}{did_you_mean(other, there) or '.'}"
                    found.append(Problem(where, f"{text} Name a program that exists", other))
                elif other == name and field == ("not_in",):
                    text = "is this program itself; its own former lists are left out by not_mailed_in_days"
                    found.append(Problem(where, text, other))
        if found:
            problems[name] = program_yaml(include / "programs" / f"{name}{SUFFIX}").lines_of(found)
    return problems


def experiment_problems(programs: Mapping[str, Program], include: Path) -> dict[str, list[str]]:
    """Return the mistakes in experiments that need all program files to find, as problems by program."""
    there = [path.stem for path in program_files(include)]
    return {
        name: program_yaml(include / "programs" / f"{name}{SUFFIX}").lines_of(found)
        for name, found in problems_between(programs, there).items()
    }


def days_of_lists_needed(programs: Iterable[Program], name: str) -> int:
    """Return for how many days rules and exports look at the published lists of a program; 0 when none does."""
    found = [0]
    for program in programs:
        mailed = program.recommendations.rules.mailed(program.name)
        if mailed and name in mailed.programs:
            found.append(mailed.days)
        if program.name == name and program.attribution.filled:
            found.append(program.attribution.window_days + LATE_EVENTS_DAYS)
    return max(found)


def read_schemas(program: Program, include: Path) -> dict[DatasetType, AvroSchema]:
    """Read the Avro schemas of a program that was checked."""
    return {kind: read_schema(program, kind, include) for kind in program.dataset_types}


def read_schema(program: Program, kind: DatasetType, include: Path) -> AvroSchema:
    """Read the Avro schema of one dataset of a program that was checked."""
    return AvroSchema.parse(_schema_text(program, kind, include), kind)


def _schema_text(program: Program, kind: DatasetType, include: Path) -> str:
    name = f"schemas/{program.schema_file(kind)}"
    return read_text_file(include / name, f"include/{name}")


def _file_problems(file: YamlFile, program: Program, include: Path) -> Iterator[str]:
    missing = [name for name in program.files() if not (include / name).is_file()]
    for name in missing:
        yield file.line_of(Problem(program.named_files()[name], _missing(name, include)))
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
        replace(problem, text=f"{problem.text} (include/schemas/{program.schema_file(kind)})")
        for kind, schema in schemas.items()
        for problem in schema_problems(program, kind, schema)
    ]
    if len(schemas) == len(program.dataset_types):
        problems += filter_column_problems(program, schemas)
    yield from file.lines_of(problems)


def _missing(name: str, include: Path) -> str:
    path = include / name
    others = [other.name for other in sorted(path.parent.glob(f"*{path.suffix}"))]
    alike = closest(path.name, others, likeness=0.8)
    folder = path.parent.relative_to(include / name.split("/", 1)[0])
    return f"include/{name} does not exist; write it" + (
        f", or did you mean {folder}/{alike}?" if alike else ""
    )
