"""What a person said: the file ``ANSWERS=`` and the questions at the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recsync.errors import FatalError
from recsync.formatting import closest
from recsync.program.problems import YamlFile

NEEDED = {
    "interactions": "table with what people did: one row for each purchase, click or rating",
    "user": "column with the person's id",
    "item": "column with the item's id",
    "time": "column with the time of the interaction",
    "month_first": "true when 03/04/2026 is the 4th of March",
}
OPTIONAL = {
    "schema": "schema whose tables are looked at",
    "orders": "table with person and time, when the interactions are lines of orders",
    "order": "column by which the lines and their orders are joined",
    "event": "column with the type of the event",
    "value": "column with a number: rating, quantity or amount",
    "items": "table with the items",
    "item_id": "its column with the item's id",
    "title": "column with the item's name",
    "price": "column with its price",
    "image": "column with the address of its image",
    "url": "column with its address",
    "category": "column with its category",
    "brand": "column with its brand",
    "created": "column with the time from which on it can be had",
    "in_stock": "column that says whether it can be had",
    "customers": "table with who may be mailed",
    "customer_id": "its column with the person's id",
    "email": "its column with the e-mail address",
    "consent": "its column with the consent to e-mails",
    "external_id": "its column with the person's external_id in Braze",
    "attribute": "custom attribute in Braze that holds the list",
    "catalog": "catalog in Braze that holds the items",
    "description": "one sentence, shown in Airflow",
}
KEYS = {**NEEDED, **OPTIONAL}


@dataclass(frozen=True)
class Question:
    """One thing that the tables do not tell.

    :param choices: the possible answers, the most likely first.
    """

    key: str
    text: str
    choices: Sequence[str] = ()


Ask = Callable[[Question], str]


@dataclass(frozen=True)
class Answers:
    """The given answers, by key; None: there is no such table or column.

    :param name: the file, for errors.
    """

    given: dict[str, Any] = field(default_factory=dict)
    name: str = "the answers"

    @classmethod
    def read(cls, path: Path) -> Answers:
        """Read a file of answers.

        :raises FatalError: naming every key that is not known.
        """
        if not path.is_file():
            raise FatalError(f"There is no file {path} with answers; correct ANSWERS=.")
        document = YamlFile.read(path, path.name).document
        if document is None:
            return cls({}, path.name)
        if not isinstance(document, dict):
            raise FatalError(f"{path.name}: write one answer a line, such as `user: customer_id`.")
        problems = []
        for key, value in document.items():
            if key not in KEYS:
                hint = closest(str(key), KEYS)
                problems.append(
                    f"{path.name}: unknown key {key}" + (f"; did you mean {hint}?" if hint else ".")
                )
            elif key == "month_first" and not isinstance(value, bool):
                problems.append(f"{path.name}: month_first must be true or false.")
            elif key != "month_first" and value is not None and not isinstance(value, str):
                problems.append(f"{path.name}: {key} must be a name; put it in quotes.")
        if problems:
            keys = "\n".join(f"  {key}: {meaning}" for key, meaning in KEYS.items())
            raise FatalError("\n".join([*problems, "The keys are:", keys]))
        return cls(document, path.name)


def ask_terminal(question: Question) -> str:
    """Ask a person; the first choice is taken when nothing is typed."""
    sys.stdout.write(f"\n{question.text}\n")
    for number, choice in enumerate(question.choices, 1):
        sys.stdout.write(f"  {number}. {choice}\n")
    default = f" [{question.choices[0]}]" if question.choices else ""
    while True:
        sys.stdout.write(f"{question.key}{default}: ")
        sys.stdout.flush()
        line = sys.stdin.readline()
        if not line:
            return ask_nobody(question)
        text = line.strip() or (question.choices[0] if question.choices else "")
        if text.isdigit() and 1 <= int(text) <= len(question.choices):
            return question.choices[int(text) - 1]
        if not question.choices or text in question.choices:
            return text
        hint = closest(text, question.choices)
        sys.stdout.write(f"  There is no {text}" + (f"; did you mean {hint}?\n" if hint else ".\n"))


def ask_nobody(question: Question) -> str:
    """Refuse a question of a command without a terminal.

    :raises FatalError: with the line to write into the file of answers.
    """
    allowed = f" One of: {', '.join(question.choices)}." if question.choices else ""
    first = question.choices[0] if question.choices else "…"
    raise FatalError(
        f"{question.text}{allowed} There is no terminal to ask at. Write the answer into a file, for instance\n"
        f"  {question.key}: {first}\nand give it as ANSWERS=<file>."
    )
