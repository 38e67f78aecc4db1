"""docs/program-file.md against the model it describes."""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from recsync.program import Program

PAGE = Path(__file__).resolve().parents[2] / "docs" / "program-file.md"
# Defaults that the model computes from the program's name rather than holds.
COMPUTED = {"name": "the file's stem"}


def documented(text: str) -> dict[str, tuple[str, str]]:
    """Read the tables: field -> default, meaning."""
    rows = re.findall(r"^\| `([\w.]+)` \| (.+?) \| (.+) \|$", text, re.MULTILINE)
    return {name: (default.strip("`"), meaning) for name, default, meaning in rows}


def expected(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, set[str]]]:
    """Yield field, default as the page writes it, and the literal values that the field allows."""
    for name, field in model.model_fields.items():
        path = prefix + (field.alias or name)
        section = _section(field.annotation)
        allowed = _literals(field.annotation)
        optional = not field.is_required() and isinstance(field.default, str | None)
        if section is None or allowed or optional:
            yield path, _default(path, field), allowed
        if section is not None:
            yield from expected(section, f"{path}.")


def _default(path: str, field: FieldInfo) -> str:
    parts = path.split(".")
    if path in COMPUTED:
        return COMPUTED[path]
    if parts[0] == "datasets" and len(parts) == 3:
        return f"<program>/{parts[1]}.{'sql' if parts[2] == 'sql' else 'json'}"
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "no value"
    if value == "":
        return '""'
    return value if isinstance(value, str) else json.dumps(value)


_ALTERNATIVES = {typing.Annotated, typing.Union, types.UnionType}


def _section(annotation: Any) -> type[BaseModel] | None:
    parts = typing.get_args(annotation)
    for option in (annotation, *parts):
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    # Alternatives told apart by their form: a cron expression or a section.
    nested = [part for part in parts if {*map(typing.get_origin, (annotation, part))} <= _ALTERNATIVES]
    return next((found for part in nested if (found := _section(part))), None)


def _literals(annotation: Any) -> set[str]:
    if typing.get_origin(annotation) is typing.Literal:
        return set(map(str, typing.get_args(annotation)))
    return set().union(*(_literals(part) for part in typing.get_args(annotation)), set())


def mistakes(text: str) -> Iterator[str]:
    rows, fields = (
        documented(text),
        {path: (default, allowed) for path, default, allowed in expected(Program)},
    )
    yield from (f"{path} does not exist" for path in rows.keys() - fields.keys())
    for path, (default, allowed) in fields.items():
        if path not in rows:
            yield f"{path} is missing"
            continue
        if rows[path][0] != default:
            yield f"{path} has default {default}"
        yield from (
            f"{path} allows {value}" for value in sorted(allowed) if f"`{value}`" not in rows[path][1]
        )


def test_every_field_stands_on_the_page_with_its_default_and_allowed_values() -> None:
    assert list(mistakes(PAGE.read_text())) == []


@pytest.mark.parametrize(
    ("right", "wrong", "found"),
    [
        (
            "`recommendations.length` | `12`",
            "`recommendations.length` | `10`",
            "recommendations.length has default 12",
        ),
        ("`braze.catalog.fields`", "`braze.catalog.columns`", "braze.catalog.columns does not exist"),
        ("| `gate.metric`", "| gate.metric", "gate.metric is missing"),
        ("`objects`: an array", "objects: an array", "braze.payload allows objects"),
        ("`boolean`", "boolean", "braze.catalog.fields allows boolean"),
    ],
)
def test_a_wrong_page_is_caught(right: str, wrong: str, found: str) -> None:
    text = PAGE.read_text()
    assert right in text
    assert found in "\n".join(mistakes(text.replace(right, wrong, 1)))
