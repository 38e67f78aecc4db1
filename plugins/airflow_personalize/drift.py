"""Compare a Create request with the resource that already exists."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_personalize.resource import Compared

# DescribeSolution and tunedHPOParams echo some hyperparameters with the part of the pipeline they belong to.
_HYPERPARAMETER_PREFIXES = ("training.", "data.")
_LATEST = "/$LATEST"


def drift(compared: Iterable[Compared], request: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """List differences, one line per field: path in the request, requested value, found value."""
    lines: list[str] = []
    for each in compared:
        asked, existing = _value(each, each.path, request), _value(each, each.found or each.path, found)
        if asked is None and each.if_asked:
            continue
        lines += _differences(each.path, asked, existing)
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
    """True if the found value contains the requested one; a mapping may have more members."""
    if isinstance(asked, dict) and isinstance(found, dict):
        return all(agrees(value, found.get(key)) for key, value in asked.items())
    if isinstance(asked, list) and isinstance(found, list):
        return len(asked) == len(found) and not _unmatched(asked, found)
    if isinstance(asked, str) and isinstance(found, str) and asked.endswith(_LATEST):
        # A campaign that follows its solution is described with the version it has come to.
        return found.startswith(asked.removesuffix(_LATEST) + "/")
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


def _differences(path: str, asked: Any, found: Any) -> list[str]:
    """Go down to the fields that differ; a mapping may hold more than was asked."""
    if isinstance(asked, dict) and isinstance(found, dict):
        return [line for key in asked for line in _differences(f"{path}.{key}", asked[key], found.get(key))]
    if agrees(asked, found):
        return []
    return [f"{path}: asked for {_show(asked)}, found {_show(found)}"]


def _unmatched(asked: list[Any], found: list[Any]) -> bool:
    """True if the lists differ as sets: order means nothing in this API."""
    rest = list(found)
    for one in asked:
        partner = next((each for each in rest if agrees(one, each)), None)
        if partner is None:
            return True
        rest.remove(partner)
    return False


def _value(compared: Compared, path: str, side: Mapping[str, Any]) -> Any:
    value = _at(path, side)
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


def _bare(name: str) -> str:
    for prefix in _HYPERPARAMETER_PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _show(value: Any) -> str:
    if value is None:
        return "nothing"
    return json.dumps(value.value if isinstance(value, _Exact) else value, sort_keys=True, default=str)
