"""Read YAML and text files, and report mistakes in them with file, line, field, value and what is allowed."""

from __future__ import annotations

import codecs
import re
import typing
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic_core import ErrorDetails

from recsync.errors import FatalError, ProgramError
from recsync.formatting import closest, did_you_mean

Field = tuple[str | int, ...]
"""Path of a field in a program file: names of fields, and positions in lists."""


@dataclass(frozen=True)
class Problem:
    """One mistake in a program file.

    :param field: the deepest part of it that is in the file gives the line.
    :param value: shown in the message, unless it is None.
    """

    field: Field
    text: str
    value: Any = None


_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text_file(path: Path, name: str) -> str:
    """Read a file as UTF-8, with or without a byte order mark.

    :param name: the file as errors name it, e.g. ``include/sql/shop/items.sql``.
    :raises FatalError: naming the file and what to do, when it cannot be read or is in another encoding.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FatalError(f"{name} cannot be read: {error.strerror or error}.") from None
    # UTF-16 without a mark: every other byte of a Latin text is NUL.
    if data.startswith(_UTF16_MARKS) or b"\0" in data:
        raise FatalError(f"{name}:1: UTF-16 or binary, not UTF-8. {_remedy('UTF-16')}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{data[error.start]:02x} is not UTF-8; the file may be in Latin-1 or Windows-1252."
        raise FatalError(f"{name}:{line}: {found} {_remedy('WINDOWS-1252')}") from None


def _remedy(encoding: str) -> str:
    return f"Save it as UTF-8, e.g. iconv -f {encoding} -t UTF-8 FILE."


_SECTION = "must be a section: lines of the form `name: value`, indented below it"
_LIST = "must be a list, such as [a, b]"
_WHOLE, _NUMBER = "must be a whole number", "must be a number"
# By pydantic's type of error; {…} are the values of its context.
# https://docs.pydantic.dev/latest/errors/validation_errors/
_TEXTS = {
    "missing": "is missing",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a text; put it in quotes",
    "model_type": _SECTION,
    "model_attributes_type": _SECTION,
    "dict_type": _SECTION,
    "tuple_type": _LIST,
    "list_type": _LIST,
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "string_too_short": "must have at least {min_length} character(s)",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entry or entries",
    "too_long": "must have at most {max_length} entries",
}
# Errors of form: the value is not of the type that one alternative of the field needs.
_OTHER_FORM = frozenset(
    {"model_type", "model_attributes_type", "dict_type", "tuple_type", "list_type", "literal_error"}
)
# Words without quotes that YAML 1.1 reads as booleans.
_YAML_WORDS = {False: {"off", "no", "n", "false"}, True: {"on", "yes", "y", "true"}}


def explain(errors: Iterable[ErrorDetails], document: Any, model: type[BaseModel]) -> list[Problem]:
    """Turn pydantic's errors into problems, one for each field.

    A field with several alternatives has an error for each, at a location that ends with the alternative's name.
    """
    grouped: dict[Field, list[ErrorDetails]] = defaultdict(list)
    for detail in errors:
        grouped[_field(document, detail)].append(detail)
    return [
        Problem(field, _text(field, details, model), _value(details[0]))
        for field, details in grouped.items()
        # Skip an error of form from one alternative where another one found a mistake inside the value.
        if not all(detail["type"] in _OTHER_FORM for detail in details)
        or not any(len(other) > len(field) and other[: len(field)] == field for other in grouped)
    ]


def _field(document: Any, detail: ErrorDetails) -> Field:
    """Return a location without pydantic's own parts: names of alternatives, and the mark of a key."""
    location = [part for part in detail["loc"] if part != "[key]"]
    if detail["type"] == "recipe":
        return tuple(location)
    field: list[str | int] = []
    for number, part in enumerate(location, 1):
        if (child := _child(document, part)) is not None:
            document = child[0]
            field.append(part)
        elif number == len(location) and detail["type"] == "missing":
            field.append(part)
    return tuple(field)


def _child(document: Any, part: str | int) -> tuple[Any] | None:
    if isinstance(document, Mapping):
        return next(((value,) for key, value in document.items() if str(key) == str(part)), None)
    if isinstance(document, list) and isinstance(part, int) and part < len(document):
        return (document[part],)
    return None


def _text(field: Field, details: Sequence[ErrorDetails], model: type[BaseModel]) -> str:
    literals = [detail for detail in details if detail["type"] == "literal_error"]
    texts = dict.fromkeys(_one_text(field, detail, model) for detail in literals or details)
    empty = details[0]["input"] is None and details[0]["type"] != "missing"
    return ("is empty, but " if empty else "") + " or ".join(texts).replace(" or must be ", " or ")


def _one_text(field: Field, detail: ErrorDetails, model: type[BaseModel]) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown field; {_other_field(field, model)}"
    if kind == "literal_error":
        return _literal_text(re.findall(r"'([^']*)'", str(context.get("expected"))), detail["input"])
    if not field and kind in {"model_type", "dict_type"}:
        return "the file must be a list of lines of the form `name: value`, beginning with its sections"
    if kind in _TEXTS:
        return _TEXTS[kind].format(**context)
    return detail["msg"].removeprefix("Value error, ").replace("Input should be", "must be")


def _literal_text(choices: list[str], given: Any) -> str:
    allowed = " or ".join([", ".join(choices[:-1]), choices[-1]] if choices[1:] else choices)
    if isinstance(given, bool) and (
        words := [each for each in choices if each.casefold() in _YAML_WORDS[given]]
    ):
        return (
            f'must be {allowed}; write "{words[0]}" in quotes, YAML reads it as {str(given).lower()} without'
        )
    return f"must be {allowed}{did_you_mean(str(given), choices)}"


def _other_field(field: Field, model: type[BaseModel]) -> str:
    """Suggest the field that was most likely meant: one of this section, or one of the same name elsewhere."""
    *section, name = (str(part) for part in field)
    here = fields_of(model, section)
    if found := closest(name, here, likeness=0.75):
        return f"did you mean {found}?"
    everywhere = {path.rsplit(".", 1)[-1]: path for path in reversed(list(field_paths(model)))}
    if name in everywhere:
        return f"did you mean {everywhere[name]}?"
    if found := closest(name, here) or closest(name, everywhere, likeness=0.8):
        return f"did you mean {everywhere.get(found, found) if found not in here else found}?"
    return f"there are {', '.join(here)}" if here else "remove it"


def fields_of(model: type[BaseModel], section: Sequence[str]) -> list[str]:
    """Return the names of the fields of a section."""
    annotation: Any = model
    for part in section:
        annotation = _step(annotation, part)
    found = _model_in(annotation)
    return [field.alias or name for name, field in found.model_fields.items()] if found else []


def field_paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield every field of the program file by its dotted path, those of outer sections first."""
    sections = []
    for name, field in model.model_fields.items():
        path = prefix + (field.alias or name)
        yield path
        if (section := _model_in(field.annotation)) is not None:
            sections.append((section, path))
    for section, path in sections:
        yield from field_paths(section, f"{path}.")


def _step(annotation: Any, part: str) -> Any:
    if (section := _model_in(annotation, direct=True)) is not None:
        fields = {field.alias or name: field.annotation for name, field in section.model_fields.items()}
        return fields.get(part)
    # An entry of a list or of a mapping by name.
    value_at = {dict: 1, tuple: 0, list: 0}
    for each in (annotation, *typing.get_args(annotation)):
        if (origin := typing.get_origin(each)) in value_at:
            return typing.get_args(each)[value_at[origin]]
    return None


def _model_in(annotation: Any, *, direct: bool = False) -> type[BaseModel] | None:
    """Find the section in an annotation.

    :param direct: search unions only, not lists and mappings.
    """
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if direct and typing.get_origin(annotation) in {dict, tuple, list}:
        return None
    found = (_model_in(argument, direct=direct) for argument in typing.get_args(annotation))
    return next((model for model in found if model is not None), None)


def _value(detail: ErrorDetails) -> Any:
    given = detail["input"]
    return None if isinstance(given, dict | list) or detail["type"] == "missing" else given


@dataclass(frozen=True)
class YamlFile:
    """One file: its content, with the line of each part.

    :param name: the file as errors name it.
    """

    name: str
    document: Any
    node: yaml.Node | None

    @classmethod
    def read(cls, path: Path, name: str) -> YamlFile:
        """Read a file.

        :raises ProgramError: when it is no UTF-8, no YAML, or names a field twice.
        """
        try:
            text = read_text_file(path, name)
            file = cls(name, *_parse_yaml(text))
        except FatalError as error:
            raise ProgramError([str(error)]) from None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ProgramError([f"{name}:{line}: not valid YAML: {_yaml_text(error)}"]) from None
        except (yaml.YAMLError, ValueError) as error:
            raise ProgramError([f"{name}: not valid YAML: {' '.join(str(error).split())}"]) from None
        if repeated := list(_repeated(file, file.node, ())):
            raise ProgramError(file.lines_of(repeated))
        return file

    def line(self, field: Field) -> int:
        """Return the line of the deepest part of a field that is in the file."""
        node, line = self.node, self.node.start_mark.line if self.node else 0
        for part in field:
            child = _child_node(node, part)
            if child is None:
                break
            line, node = child
        return line + 1

    def lines_of(self, problems: Iterable[Problem]) -> list[str]:
        """Write problems as lines, those at the top of the file first."""
        found = sorted(problems, key=lambda problem: self.line(problem.field))
        return list(dict.fromkeys(self.line_of(problem) for problem in found))

    def line_of(self, problem: Problem) -> str:
        """Write a problem as ``file:line: field: text (it is value)``."""
        field = ".".join(map(str, problem.field)) or "the file"
        return f"{self.name}:{self.line(problem.field)}: {field}: {problem.text}{_shown(problem.value)}"

    def explained(self, errors: Iterable[ErrorDetails], model: type[BaseModel]) -> list[str]:
        """Write what pydantic found."""
        return self.lines_of(explain(errors, self.document, model))


def line_of_name(text: str, word: str) -> int:
    """Return the line of the first occurrence of a quoted name; 1 when there is none."""
    found = re.search(rf"[\"']{re.escape(word)}[\"']", text)
    return text.count("\n", 0, found.start()) + 1 if found else 1


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f" (it is {str(value).lower() if isinstance(value, bool) else repr(value)})"


def _child_node(node: yaml.Node | None, part: int | str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line, node.value[part]
    return None


def _repeated(file: YamlFile, node: yaml.Node | None, field: Field) -> Iterator[Problem]:
    """Find fields that are given twice; YAML would silently take the last."""
    if isinstance(node, yaml.SequenceNode):
        for position, entry in enumerate(node.value):
            yield from _repeated(file, entry, (*field, position))
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        name = str(key.value)
        if name in lines and name != "<<":
            yield Problem(
                (*field, name), f"is there again on line {key.start_mark.line + 1}; keep one of the two"
            )
        lines.setdefault(name, key.start_mark.line)
        yield from _repeated(file, value, (*field, name))


def _parse_yaml(text: str) -> tuple[Any, yaml.Node | None]:
    """Return the document and its nodes.

    libyaml takes a tenth of the time of PyYAML's own parser. That one reads broken files again, for its better errors.
    """
    if yaml.__with_libyaml__:
        with suppress(yaml.YAMLError):
            return yaml.load(text, Loader=yaml.CSafeLoader), yaml.compose(text, Loader=yaml.CSafeLoader)
    return yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)


def _yaml_text(error: yaml.MarkedYAMLError) -> str:
    text = error.problem or str(error)
    if "'\\t'" in text:
        return f"{text}; indent with spaces, not with a tab"
    if "mapping values are not allowed" in text:
        return f"{text}; put a text that holds a colon in quotes, or correct the indentation"
    return text
