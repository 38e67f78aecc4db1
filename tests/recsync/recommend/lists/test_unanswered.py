"""Questions that a batch output does not answer, and when a second job asks them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from recsync.program.recipes import InputType
from recsync.recommend.lists.job_input import Questions, write_unanswered
from recsync.storage.duck import opened

Json = dict[str, Any]


def unanswered(
    folder: Path, input_type: InputType, questions: list[Json], lines: list[bytes]
) -> tuple[Questions, list[Json]]:
    asked = [folder / "questions-1.json", folder / "questions-2.json"]
    for path, part in zip(asked, (questions[::2], questions[1::2]), strict=True):
        path.write_text("".join(json.dumps(question, ensure_ascii=False) + "\n" for question in part))
    half = len(lines) // 2
    outputs = [
        ("a", io.BytesIO(b"\n".join(lines[:half]))),
        ("b", io.BytesIO(b"\n".join(lines[half:]) + b"\n")),
    ]
    with opened(folder) as connection:
        found = write_unanswered(connection, asked, outputs, input_type, folder / "lines.json", folder)
    return found, [json.loads(line) for line in (folder / "lines.json").read_text().splitlines()]


def line(question: Json, error: str | None = None, member: str = "recommendedItems") -> bytes:
    return json.dumps({"input": question, "output": {member: ["p1"]}, "error": error}).encode()


@pytest.mark.parametrize(
    ("input_type", "questions"),
    [
        (InputType.USER, [{"userId": f'u {n}\u00e9"', "filterValues": {"A": '"x"'}} for n in range(9)]),
        (InputType.RANKING, [{"userId": f"u{n}", "itemList": ["b", "a"]} for n in range(9)]),
        (InputType.ITEM, [{"itemId": f"p{n}"} for n in range(9)]),
        (InputType.SEGMENT_ITEM, [{"itemId": f"p{n}"} for n in range(9)]),
        (InputType.SEGMENT_ATTRIBUTES, [{"itemAttributes": f'ITEMS.GENRE = "{n}"'} for n in range(9)]),
    ],
)
def test_errors_and_missing_and_unreadable_lines_are_asked_again(
    tmp_path: Path, input_type: InputType, questions: list[Json]
) -> None:
    member = (
        "recommendedUsers"
        if input_type in {InputType.SEGMENT_ITEM, InputType.SEGMENT_ATTRIBUTES}
        else "recommendedItems"
    )
    lines = [line(question, member=member) for question in questions[4:]]
    # The first is missing, the second an error, the third cut short, the fourth an error and an answer.
    lines += [
        line(questions[1], "no"),
        line(questions[2])[:12],
        line(questions[3], "no"),
        line(questions[3], None, member),
    ]
    found, again = unanswered(tmp_path, input_type, questions, lines)
    assert (found, again) == (Questions(9, 3), questions[:3])


def test_nobody_is_asked_again_when_everybody_is_answered(tmp_path: Path) -> None:
    questions = [{"userId": "u"}]
    found, again = unanswered(tmp_path, InputType.USER, questions, [line(questions[0])])
    assert (found, again) == (Questions(1, 0), [])


@pytest.mark.parametrize(
    ("asked", "missing", "worth"),
    [
        (400, 0, False),
        (400, 3, False),
        (400, 4, True),
        (1_000_000, 999, False),
        (1_000_000, 1_000, True),
        (400, 200, True),
        (400, 201, False),
        (1, 1, False),
    ],
)
def test_a_second_job_must_be_worth_its_money(asked: int, missing: int, worth: bool) -> None:
    assert (Questions(asked, missing).reason_not_to_ask_again == "") == worth
