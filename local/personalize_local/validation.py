"""Validate requests against all constraints of their shapes.

botocore's `ParamValidator` checks required members, types and minima. This module adds maxima, enums and patterns,
which clients do not check.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from botocore.validate import ParamValidator

from personalize_local.errors import invalid_input

# Java character classes of the model, as Python regular expressions.
_JAVA_CLASSES = {r"\p{ASCII}": r"[\x00-\x7f]", r"\p{L}": r"\w", r"\p{N}": r"\w", r"\p{Z}": r"\s"}


def without_nulls(value: Any) -> Any:
    """Drop members that are JSON null, which AWS treats as absent."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def validate(params: dict[str, Any], operation: OperationModel) -> None:
    """Raise InvalidInputException with all problems of the request."""
    shape = operation.input_shape
    if shape is None:
        return
    try:
        report = ParamValidator().validate(params, shape)
    except (OverflowError, RuntimeError) as error:  # raised for timestamps outside the calendar
        raise invalid_input(f"A timestamp is out of range: {error}") from error
    if report.has_errors():
        raise invalid_input(report.generate_report())
    problems = list(violations(params, shape))
    if problems:
        plural = "s" if len(problems) > 1 else ""
        raise invalid_input(f"{len(problems)} validation error{plural} detected: {'; '.join(problems)}")


def violations(value: Any, shape: Shape, at: str = "") -> Iterator[str]:
    """Yield the maxima, enums and patterns that a correctly typed value violates."""
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            if name in value:
                yield from violations(value[name], member, f"{at}.{name}" if at else name)
    elif isinstance(shape, ListShape):
        yield from _above_maximum(len(value), value, shape, at, "length")
        for number, item in enumerate(value, 1):
            yield from violations(item, shape.member, f"{at}.{number}.member")
    elif isinstance(shape, MapShape):
        yield from _above_maximum(len(value), value, shape, at, "length")
        for key, item in value.items():
            yield from violations(key, shape.key, f"{at}.key")
            yield from violations(item, shape.value, f"{at}.{key}.value")
    elif isinstance(value, str):
        yield from _string_violations(value, shape, at)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _above_maximum(value, value, shape, at, "value")


def _string_violations(value: str, shape: Shape, at: str) -> Iterator[str]:
    yield from _above_maximum(len(value), value, shape, at, "length")
    enum = getattr(shape, "enum", None)
    if enum and value not in enum:
        yield _failed(value, at, f"Member must satisfy enum value set: [{', '.join(enum)}]")
    pattern = shape.metadata.get("pattern")
    if pattern and not _compiled(pattern).fullmatch(value):
        yield _failed(value, at, f"Member must satisfy regular expression pattern: {pattern}")


def _above_maximum(size: float, value: Any, shape: Shape, at: str, what: str) -> Iterator[str]:
    maximum = shape.metadata.get("max")
    if maximum is not None and size > maximum:
        yield _failed(value, at, f"Member must have {what} less than or equal to {maximum}")


def _failed(value: Any, at: str, constraint: str) -> str:
    return f"Value '{value}' at '{at}' failed to satisfy constraint: {constraint}"


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    for java, python in _JAVA_CLASSES.items():
        pattern = pattern.replace(java, python)
    return re.compile(pattern)
