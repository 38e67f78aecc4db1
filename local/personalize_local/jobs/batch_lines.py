"""Turn the lines of one batch input into the lines of its output.

Formats: https://docs.aws.amazon.com/personalize/latest/dg/batch-data-upload.html
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from personalize_local.engine import Answer, Options, Recommender
from personalize_local.errors import JobFailed
from personalize_local.jobs.batch_filter import FilterRequest, filtered_answers
from personalize_local.jobs.line_input import Line, line_reader, parse_line

if TYPE_CHECKING:
    # Needs scikit-learn, which takes seconds to load, and few jobs have themes.
    from personalize_local.jobs.themes import ThemeMaker

# Maximum lines of one input file: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MOST_QUERIES = {"segment_item": 500, "segment_attributes": 10}
_MOST_QUERIES_WITH_THEMES = 100
_SCRIPTED_ERROR = "Internal error: the line could not be processed"
_compact = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True)
class Inference:
    """How to answer all lines.

    :param themes: for THEME_GENERATION.
    """

    recommender: Recommender
    num_results: int
    options: Options = field(default_factory=Options)
    filter: FilterRequest | None = None
    themes: ThemeMaker | None = None


class BatchLines:
    """Write output lines in a shuffled order that depends on the seed."""

    def __init__(self, inference: Inference, seed: str, faults: float = 0.0) -> None:
        self._inference = inference
        self._faults = faults
        self._faulty_lines = 0
        self._random = random.Random(seed)  # ruff: ignore[suspicious-non-cryptographic-random-usage] - a shuffle, not a secret
        self._objects_read = 0
        self.answered_lines = 0
        self.recommended_ids = 0
        self._read = line_reader(inference.recommender.wants)
        self._answered, self._failed = _writers(inference)

    @property
    def is_all_unreadable(self) -> bool:
        """Return whether no line so far was a JSON object."""
        return self._objects_read == 0

    def write(self, content: bytes, path: Path) -> None:
        """Write the output of one input object to a file; raise `JobFailed` for too many lines."""
        entries = [parse_line(line) for line in content.split(b"\n") if line.strip()]
        how = self._inference
        most = _MOST_QUERIES_WITH_THEMES if how.themes else _MOST_QUERIES.get(how.recommender.wants)
        if most is not None and len(entries) > most:
            raise JobFailed(f"An input file can have at most {most} lines. One has {len(entries)}.")
        self._objects_read += sum(entry is not None for entry in entries)
        self._random.shuffle(entries)
        lines = [self._read(entry) for entry in entries]
        answers = self._answers(lines)
        # A lone surrogate of the input is written as the JSON escape that it was read from.
        with path.open("w", encoding="utf-8", errors="backslashreplace") as out:
            for line in lines:
                if line.error is None:
                    answer = next(answers)
                    line.error = answer.error
                fault = self._fault()
                if fault == "error":
                    line.error = _SCRIPTED_ERROR
                if line.error is None:
                    self.answered_lines += 1
                    self.recommended_ids += len(answer.ids)
                text = self._failed(line) if line.error else self._answered(line, answer)
                if fault == "cut":
                    text = f"{text[: len(text) // 3]}\n"
                if fault != "missing":
                    out.write(text)

    def _fault(self) -> str | None:
        """Return the fault to inject into a line, in turn, for a share of the lines."""
        if not self._faults or self._random.random() >= self._faults:
            return None
        self._faulty_lines += 1
        return ("error", "missing", "cut")[self._faulty_lines % 3]

    def _answers(self, lines: list[Line]) -> Iterator[Answer]:
        how = self._inference
        if how.filter is not None:
            return filtered_answers(how.recommender, how.filter, lines, how.num_results, how.options)
        queries = [line.query for line in lines if not line.error]
        return how.recommender.answer(queries, how.num_results, how.options)


class _Texts(dict[str, str]):
    """Render each id to JSON once: millions of lists repeat a few thousand ids."""

    def __missing__(self, text: str) -> str:
        rendered = self[text] = _compact(text)
        return rendered


def _writers(how: Inference) -> tuple[Callable[[Line, Answer], str], Callable[[Line], str]]:
    texts = _Texts()
    segment = how.recommender.wants.startswith("segment")
    member = "recommendedUsers" if segment else "recommendedItems"
    with_error = '},"error":null}\n' if how.recommender.wants == "user" else "}}\n"

    def answered(line: Line, answer: Answer) -> str:
        ids = ",".join([texts[each] for each in answer.ids])
        head = f'{{"input":{_compact(line.entry)},"output":{{"{member}":[{ids}]'
        if how.themes is not None:
            theme, relevance = how.themes.theme_of(answer.ids)
            return (
                f'{head},"theme":{_compact(theme)},"itemsThemeRelevanceScores":[{_numbers(relevance)}]}}}}\n'
            )
        if answer.scores is None:
            return f"{head}}}}}\n"
        reasons = "" if answer.reasons is None else f',"reasons":{_compact(answer.reasons)}'
        return f'{head},"scores":[{_numbers(answer.scores)}]{reasons}{with_error}'

    def failed(line: Line) -> str:
        output: dict[str, list[str]] = {member: []}
        return _compact({"input": line.entry, "output": output, "error": line.error}) + "\n"

    return answered, failed


def _numbers(values: list[float]) -> str:
    """Render numbers with seven decimals, as the service does."""
    return ",".join(["%.7f"] * len(values)) % tuple(values)
