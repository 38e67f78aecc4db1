r"""Read `filterValues` of an input line or request: `{"GENRES": "\"horror\",\"comedy\""}`.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetRecommendations.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Limits of the API page for requests; for batch lines they are not documented.
_MOST_PARAMETERS = 25
_MOST_CHARACTERS = 1000
# A comma inside quotes belongs to the value.
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_PART = re.compile(r'\s*"([^"]*)"\s*(?:,|$)|([^,"]+)(?:,|$)')

ParameterValues = Mapping[str, list[str | float]]


class MissingParameter(Exception):  # ruff: ignore[error-suffix-on-exception-name] - named after the cause
    """A line's filter values are missing or malformed; only this line fails."""


def read_filter_values(entry: Mapping[str, Any]) -> ParameterValues:
    """Return the values per parameter: texts in double quotes; numbers, quoted or bare, as text and as number.

    Whether numbers must be quoted is not documented.

    :raises MissingParameter: for more or longer values than the API allows, and for texts that are not quoted.
    """
    given = entry.get("filterValues")
    if not isinstance(given, dict):
        return {}
    if len(given) > _MOST_PARAMETERS:
        raise MissingParameter(f"filterValues has more than {_MOST_PARAMETERS} members")
    return {str(name): _values(str(name), text) for name, text in given.items()}


def _values(name: str, text: Any) -> list[str | float]:
    if not isinstance(text, str):
        raise MissingParameter(f"the value of {name} in filterValues is not a string")
    if len(text) > _MOST_CHARACTERS:
        raise MissingParameter(
            f"the value of {name} in filterValues has more than {_MOST_CHARACTERS} characters"
        )
    values: list[str | float] = []
    at = 0
    while at < len(text):
        match = _PART.match(text, at)
        if match is None:
            raise MissingParameter(f"the value of {name} in filterValues has broken quotes")
        quoted, bare = match.groups()
        value = bare.strip() if quoted is None else quoted
        is_number = _NUMBER.fullmatch(value) is not None
        if quoted is None and not is_number:
            raise MissingParameter(
                f"the value of {name} in filterValues must be a number or stand in double quotes"
            )
        values += [value, float(value)] if is_number else [value]
        at = match.end()
    return values
