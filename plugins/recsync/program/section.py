"""What every section of the program file is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from recsync.formatting import closest


class Strict(BaseModel):
    """A section of the program file: an unknown field is an error, not a silent typo."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def matching(pattern: str, words: str, *, suggest: Callable[[str], str] | None = None) -> AfterValidator:
    """Check a text against a regular expression, and say in words what is allowed.

    pydantic's own ``pattern`` would show the expression to the person who wrote the program file.

    :param words: what is allowed, to follow "must".
    :param suggest: makes of the wrong text one that is allowed; used only when it is.
    """
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if compiled.fullmatch(text):
            return text
        better = suggest(text) if suggest else ""
        raise ValueError(f"must {words}" + (f"; write {better}" if compiled.fullmatch(better) else ""))

    return AfterValidator(check)


def with_underscores(text: str) -> str:
    """Replace what a name cannot hold by ``_``."""
    return re.sub(r"[^A-Za-z0-9_\-]+", "_", text).strip("_")


def one_of(text: str, choices: tuple[str, ...], noun: str) -> str:
    """Check a text against a list that is too long, or too dynamic, for a ``Literal``."""
    if text in choices:
        return text
    found = closest(text, choices)
    raise ValueError(
        (f"did you mean {found}? " if found else "") + f"There are the {noun}s {', '.join(choices)}"
    )


def _inside_include(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError("must be a path below include/, without '..'")
    return value


IncludePath = Annotated[str, AfterValidator(_inside_include)]
SqlFile = Annotated[str, Field(min_length=1), AfterValidator(_inside_include)]
