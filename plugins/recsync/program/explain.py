"""Say what pydantic found in a program file: the field as it is written there, what is wrong, and what to write."""

from __future__ import annotations

import re
import typing
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from recsync.formatting import closest, did_you_mean
from recsync.program.problem import Field, Problem

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
# The value has another form than one alternative of the field asks for.
_OTHER_FORM = frozenset(
    {"model_type", "model_attributes_type", "dict_type", "tuple_type", "list_type", "literal_error"}
)
# What YAML 1.1 makes of words without quotes.
_YAML_WORDS = {False: {"off", "no", "n", "false"}, True: {"on", "yes", "y", "true"}}


def explain(errors: Iterable[ErrorDetails], document: Any, model: type[BaseModel]) -> list[Problem]:
    """Turn pydantic's errors into problems, one for each field.

    A field with several alternatives has an error for each of them, at a location that ends with pydantic's name of
    the alternative.

    :param document: the content of the program file.
    """
    grouped: dict[Field, list[ErrorDetails]] = defaultdict(list)
    for detail in errors:
        grouped[_field(document, detail)].append(detail)
    return [
        Problem(field, _text(field, details, model), _value(details[0]))
        for field, details in grouped.items()
        if not _about_another_alternative(field, details, grouped)
    ]


def _field(document: Any, detail: ErrorDetails) -> Field:
    """Take out of a location what does not stand in the file: names of alternatives, and the mark of a key."""
    location = [part for part in detail["loc"] if part != "[key]"]
    if detail["type"] == "recipe":
        return tuple(location)
    field: list[str | int] = []
    for number, part in enumerate(location, 1):
        child = _child(document, part)
        last = number == len(location)
        if child is not None:
            document = child[0]
            field.append(part)
        elif last and detail["type"] == "missing":
            field.append(part)
    return tuple(field)


def _child(document: Any, part: str | int) -> tuple[Any] | None:
    if isinstance(document, Mapping):
        return next(((value,) for key, value in document.items() if str(key) == str(part)), None)
    if isinstance(document, list) and isinstance(part, int) and part < len(document):
        return (document[part],)
    return None


def _about_another_alternative(
    field: Field, details: Sequence[ErrorDetails], grouped: Mapping[Field, Sequence[ErrorDetails]]
) -> bool:
    """Tell errors of form from one alternative where another looked into the value and found more."""
    deeper = any(len(other) > len(field) and other[: len(field)] == field for other in grouped)
    return deeper and all(detail["type"] in _OTHER_FORM for detail in details)


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
    if isinstance(given, bool):
        words = [choice for choice in choices if choice.casefold() in _YAML_WORDS[given]]
        if words:
            return f'must be {allowed}; write "{words[0]}" in quotes, YAML reads it as {str(given).lower()} without'
    return f"must be {allowed}{did_you_mean(str(given), choices)}"


def _other_field(field: Field, model: type[BaseModel]) -> str:
    """Say what was most likely meant: a field of this section, or one of the same name elsewhere."""
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
    """Name the fields of a section of the program file."""
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
    section = _model_in(annotation, direct=True)
    if section is not None:
        fields = {field.alias or name: field.annotation for name, field in section.model_fields.items()}
        return fields.get(part)
    # An entry of a list or of a mapping by name.
    values = [_step_into(each) for each in (annotation, *typing.get_args(annotation))]
    return next((value for value in values if value is not None), None)


def _step_into(annotation: Any) -> Any:
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if origin is dict:
        return arguments[1]
    return arguments[0] if origin in {tuple, list} else None


def _model_in(annotation: Any, *, direct: bool = False) -> type[BaseModel] | None:
    """Find the section that an annotation holds.

    :param direct: look into unions only, not into lists and mappings.
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
