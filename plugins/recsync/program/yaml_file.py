"""Read YAML files that people write, and say what is wrong with them: file, line, field, value, what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic_core import ErrorDetails

from recsync.errors import FatalError, ProgramError
from recsync.program.explain import explain
from recsync.program.problem import Field, Problem
from recsync.program.text_files import read_text_file


@dataclass(frozen=True)
class YamlFile:
    """One file: its content, and on which line each part of it stands.

    :param name: as errors name the file.
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
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            file = cls(name, yaml.safe_load(text), node)
        except FatalError as error:
            raise ProgramError([str(error)]) from None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ProgramError([f"{name}:{line}: not valid YAML: {_yaml_text(error)}"]) from None
        except (yaml.YAMLError, ValueError) as error:
            raise ProgramError([f"{name}: not valid YAML: {' '.join(str(error).split())}"]) from None
        if repeated := list(_repeated(file, node, ())):
            raise ProgramError(file.lines_of(repeated))
        return file

    def line(self, field: Field) -> int:
        """Find the line of the deepest part of a field that stands in the file."""
        node, line = self.node, self.node.start_mark.line if self.node else 0
        for part in field:
            child = _child(node, part)
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
    """Find the line on which a quoted name stands first; the first line when it stands nowhere."""
    found = re.search(rf"[\"']{re.escape(word)}[\"']", text)
    return text.count("\n", 0, found.start()) + 1 if found else 1


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f" (it is {str(value).lower() if isinstance(value, bool) else repr(value)})"


def _child(node: yaml.Node | None, part: int | str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line, node.value[part]
    return None


def _repeated(file: YamlFile, node: yaml.Node | None, field: Field) -> Iterator[Problem]:
    """Find fields that are given twice, of which YAML would take the last without a word."""
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


def _yaml_text(error: yaml.MarkedYAMLError) -> str:
    text = error.problem or str(error)
    if "'\\t'" in text:
        return f"{text}; indent with spaces, not with a tab"
    if "mapping values are not allowed" in text:
        return f"{text}; put a text that holds a colon in quotes, or correct the indentation"
    return text
