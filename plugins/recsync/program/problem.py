"""One thing that a program file asks for in vain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Field = tuple[str | int, ...]
"""Where something stands in a program file, from its top: names of fields, and positions in lists."""


@dataclass(frozen=True)
class Problem:
    """One thing that cannot be.

    :param field: where it stands; the deepest part of it that is in the file gives the line.
    :param value: what stands there, for the message; None says nothing.
    """

    field: Field
    text: str
    value: Any = None
