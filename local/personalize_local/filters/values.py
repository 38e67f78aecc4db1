r"""Read `filterValues` of an input line: `{"GENRES": "\"horror\",\"comedy\""}`."""

from __future__ import annotations

import re
from typing import Any

_QUOTED = re.compile(r'\s*"([^"]*)"\s*')

ParameterValues = dict[str, list[str | float]]


def read_filter_values(entry: dict[str, Any]) -> ParameterValues:
    """Return the values per parameter: quoted ones as strings, bare or quoted numbers also as numbers.

    Which form numbers must have is not documented, so a number counts as both.
    """
    given = entry.get("filterValues")
    if not isinstance(given, dict):
        return {}
    return {str(name): _values(text) for name, text in given.items() if isinstance(text, str)}


def _values(text: str) -> list[str | float]:
    values: list[str | float] = []
    for part in _split(text):
        quoted = _QUOTED.fullmatch(part)
        bare = quoted.group(1) if quoted else part.strip()
        values.append(bare)
        try:
            values.append(float(bare))
        except ValueError:
            continue
    return values


def _split(text: str) -> list[str]:
    # A comma inside quotes belongs to the value.
    return re.findall(r'\s*"[^"]*"\s*|[^,"]+', text)
