"""One thing that a program file asks for in vain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One thing that cannot be.

    :param field: where it stands, from the top of the file.
    :param value: what stands there, for the message; a section says nothing.
    """

    field: tuple[str, ...]
    text: str
    value: Any = None
