"""Compare what was asked of Amazon Personalize with what is already there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from recsync.hooks.personalize_resources import Compared, Resource

# DescribeSolution and tunedHPOParams echo some hyperparameters with the part of the pipeline they belong to.
_HYPERPARAMETER_PREFIXES = ("training.", "data.")


def drift(resource: Resource, request: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """List each compared member that differs, as one line with both values."""
    lines = []
    for compared in resource.compared:
        asked, existing = _value(compared, request), _value(compared, found)
        if asked is None and compared.if_asked:
            continue
        if not agrees(asked, existing):
            lines.append(f"{compared.path}: asked for {_show(asked)}, found {_show(existing)}")
    return lines


def unasked_hyperparameters(request: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Name the hyperparameters a found solution has and the request has not.

    They may be defaults that the service filled in or the leftovers of an older configuration: the API does
    not tell, so they are worth a warning and no error.
    """
    path = "solutionConfig.algorithmHyperParameters"
    asked, existing = (normalised(_at(path, side)) or {} for side in (request, found))
    return sorted(set(existing) - set(asked))


def agrees(asked: Any, found: Any) -> bool:
    """Tell whether everything asked for is found; a mapping may hold more than was asked."""
    if isinstance(asked, dict) and isinstance(found, dict):
        return all(agrees(value, found.get(key)) for key, value in asked.items())
    if isinstance(asked, list) and isinstance(found, list):
        return len(asked) == len(found) and all(
            agrees(one, other) for one, other in zip(_ordered(asked), _ordered(found), strict=True)
        )
    return bool(asked == found)


def normalised(value: Any) -> Any:
    """Drop empty members and hyperparameter prefixes, at any depth."""
    if isinstance(value, Mapping):
        members = {_bare(key): normalised(member) for key, member in value.items()}
        kept = {key: member for key, member in members.items() if member is not None}
        if isinstance(kept.get("name"), str):
            kept["name"] = _bare(kept["name"])
        return kept or None
    if isinstance(value, (list, tuple)):
        return [normalised(member) for member in value] or None
    return value


def _value(compared: Compared, side: Mapping[str, Any]) -> Any:
    value = _at(compared.path, side)
    if compared.path == "schema":
        return _schema(value)
    if compared.path == "filterExpression" and isinstance(value, str):
        return value.strip()
    value = normalised(value)
    return compared.default if value is None else value


def _at(path: str, side: Mapping[str, Any]) -> Any:
    value: Any = side
    for member in path.split("."):
        value = value.get(member) if isinstance(value, Mapping) else None
    return value


def _schema(text: Any) -> Any:
    """Parse an Avro schema, so that white space and the order of keys count for nothing."""
    try:
        return _Exact(json.loads(text))
    except (TypeError, ValueError):
        return text


class _Exact:
    """A value compared whole: an Avro schema with one attribute more is another schema."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Exact) and bool(self.value == other.value)

    __hash__ = None  # type: ignore[assignment]  # the standard way to say "unhashable"


def _ordered(values: list[Any]) -> Iterator[Any]:
    """Put plain values in one order: lists of column names are sets to the service."""
    plain = all(isinstance(value, (str, int, float)) for value in values)
    return iter(sorted(values, key=str) if plain else values)


def _bare(name: str) -> str:
    for prefix in _HYPERPARAMETER_PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _show(value: Any) -> str:
    if value is None:
        return "nothing"
    return json.dumps(value.value if isinstance(value, _Exact) else value, sort_keys=True, default=str)
