"""Turn the lines of one batch input into the lines of its output.

Formats: https://docs.aws.amazon.com/personalize/latest/dg/batch-data-upload.html
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personalize_local.engine import Exploration, Recommendation, Recommender
from personalize_local.filters.apply import MissingParameter
from personalize_local.filters.values import read_filter_values
from personalize_local.jobs.batch_filter import FilterRequest, make_item_filter, recommend_filtered

_WRONG_LINE = "User error: Required fields for the provided recipe are userId"


@dataclass(frozen=True)
class Inference:
    """Say how to answer every line."""

    recommender: Recommender
    num_results: int
    exploration: Exploration | None = None
    filter: FilterRequest | None = None


class BatchLines:
    """Write output lines in an order that is not the input's, the same for the same seed."""

    def __init__(self, inference: Inference, seed: str) -> None:
        self._inference = inference
        self._random = random.Random(seed)  # ruff: ignore[suspicious-non-cryptographic-random-usage] - a shuffle, not a secret
        self._objects_read = 0

    @property
    def is_all_unreadable(self) -> bool:
        """Tell whether no line so far was a JSON object."""
        return self._objects_read == 0

    def write(self, content: bytes, path: Path) -> None:
        """Write the output of one input object to a file."""
        entries = [_parsed(line) for line in content.split(b"\n") if line.strip()]
        self._objects_read += sum(entry is not None for entry in entries)
        self._random.shuffle(entries)
        lines = [_Line(entry or {}, None if _has_user(entry) else _WRONG_LINE) for entry in entries]
        recommendations = self._recommend(lines)
        # A lone surrogate in an echoed input becomes the JSON escape that it came as.
        with path.open("w", encoding="utf-8", errors="backslashreplace") as out:
            for line in lines:
                out.write(_failed(line) if line.error else _answered(line, next(recommendations)))

    def _recommend(self, lines: list[_Line]) -> Iterator[Recommendation]:
        how = self._inference
        if how.filter is None:
            users = [line.user_id for line in lines if not line.error]
            return iter(how.recommender.recommend(users, how.num_results, how.exploration))
        item_filter = make_item_filter(how.filter, {line.user_id for line in lines if not line.error})
        asked = []
        for line in lines:
            if not line.error:
                try:
                    test = item_filter.for_user(line.user_id, read_filter_values(line.entry))
                    asked.append((line.user_id, test))
                except MissingParameter as missing:
                    line.error = f"User error: {missing}"
        return recommend_filtered(how.recommender, asked, how.num_results, how.exploration)


@dataclass
class _Line:
    entry: dict[str, Any]
    error: str | None

    @property
    def user_id(self) -> str:
        return str(self.entry["userId"])


def _answered(line: _Line, recommendation: Recommendation) -> str:
    items = _compact(recommendation.item_ids)
    head = f'{{"input":{_compact(line.entry)},"output":{{"recommendedItems":{items}'
    if recommendation.scores is None:
        return f"{head}}}}}\n"
    scores = ",".join([f"{score:.7f}" for score in recommendation.scores])
    return f'{head},"scores":[{scores}]}},"error":null}}\n'


def _failed(line: _Line) -> str:
    output: dict[str, list[str]] = {"recommendedItems": []}
    return _compact({"input": line.entry, "output": output, "error": line.error}) + "\n"


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _has_user(entry: dict[str, Any] | None) -> bool:
    user_id = (entry or {}).get("userId")
    return isinstance(user_id, str) and user_id != "" and _is_text(user_id)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
