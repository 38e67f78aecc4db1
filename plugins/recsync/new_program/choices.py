"""Choose columns by their scores, by the file ``ANSWERS=`` or by a question, and keep the reason of each choice."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recsync.errors import FatalError
from recsync.formatting import closest, did_you_mean, percent
from recsync.new_program import columns as looks
from recsync.new_program.columns import Column, Ref, Table
from recsync.new_program.scores import LIKELY
from recsync.new_program.time_forms import TimeForm, time_form
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
# Two candidates this close cannot be told apart.
CLOSE = 0.25

Score = Callable[[Ref], float]


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


@dataclass(frozen=True)
class Proposed:
    """One decision, as told to a person."""

    key: str
    value: str
    reason: str


class Choices:
    """The choices of a new program.

    :param tables: by the name under which answers name them.
    :param ask: asks a person for what the tables do not tell.
    :raises FatalError: an answer names a table that is not there.
    """

    def __init__(self, tables: Mapping[str, Table], answers: Answers, ask: Ask) -> None:
        self._tables, self._answers, self._ask = tables, answers, ask
        self.made: list[Proposed] = []
        self.notes: list[str] = []
        self._check_names()

    def column(self, ref: Ref) -> Column:
        """Return the figures of a column."""
        return self._tables[ref.table].columns[ref.column]

    def by(self, score: Callable[[Column], float]) -> Score:
        """Return the score of a reference to a column."""
        return lambda ref: score(self.column(ref))

    def add(self, key: str, value: str, reason: str) -> None:
        """Note a choice."""
        self.made.append(Proposed(key, value, reason))

    def needed(
        self,
        key: str,
        pool: Sequence[str],
        score: Score,
        without: Collection[Ref] = (),
        *,
        first_of_several: bool = False,
    ) -> Ref:
        """Choose a column, or ask for it.

        :param pool: tables to choose from.
        :param first_of_several: take the first of columns that cannot be told apart, and note the others.
        """
        if key in self._answers.given:
            return self.given(key, pool)
        scored = self.candidates(pool, score, without)
        best = scored[0][0] if scored else 0.0
        close = [ref for points, ref in scored if points > best - CLOSE]
        if best >= LIKELY and (len(close) == 1 or first_of_several):
            if len(close) > 1:
                others = ", ".join(map(str, close[1:]))
                self.notes.append(f"{key} may also be {others}; write it into ANSWERS= if it is.")
            return self._chosen(key, close[0])
        names = [ref.column for ref in (close if best >= LIKELY else [ref for _, ref in scored])]
        names = names or [column for table in pool for column in self._tables[table].columns]
        return self.asked(key, f"Which column of {' or '.join(pool)} has the {key}?", names, pool)

    def optional(
        self, key: str, pool: Sequence[str], score: Score, without: Collection[Ref] = ()
    ) -> Ref | None:
        """Choose a column if one is likely."""
        if key in self._answers.given:
            return self.given(key, pool) if self._answers.given[key] is not None else None
        scored = self.candidates(pool, score, without)
        return self._chosen(key, scored[0][1]) if scored and scored[0][0] >= LIKELY else None

    def candidates(
        self, pool: Sequence[str], score: Score, without: Collection[Ref] = ()
    ) -> list[tuple[float, Ref]]:
        """Return the columns that may be the one that is looked for, the best first."""
        refs = [Ref(table, column) for table in pool for column in self._tables[table].columns]
        found = [(points, ref) for ref in refs if ref not in without and (points := score(ref)) > 0]
        return sorted(found, key=lambda each: -each[0])

    def asked(self, key: str, text: str, names: Sequence[str], pool: Sequence[str]) -> Ref:
        """Ask for a column.

        :param names: offered as the answer, the most likely first.
        """
        answer = self._ask(Question(key, text, list(dict.fromkeys(names))))
        return self._resolve(key, answer, pool)

    def _chosen(self, key: str, ref: Ref) -> Ref:
        self.add(key, str(ref), self._reason(key, ref))
        return ref

    def given(self, key: str, pool: Sequence[str]) -> Ref:
        """Return the column that an answer names.

        :raises FatalError: there is none.
        """
        value = self._answers.given[key]
        if value is None:
            raise FatalError(f"{self._answers.name}: {key} is needed; write the name of a column.")
        ref = self._resolve(key, value, pool)
        self.add(key, str(ref), "as the answers say")
        return ref

    def _resolve(self, key: str, value: str, pool: Sequence[str]) -> Ref:
        name = value.rsplit(".", 1)[-1]
        for table in pool:
            for column in self._tables[table].columns:
                if column.casefold() == name.casefold():
                    return Ref(table, column)
        there = [column for table in pool for column in self._tables[table].columns]
        raise FatalError(
            f"{self._answers.name}: {key}: there is no column {value} in {' or '.join(pool)}"
            f"{did_you_mean(name, there) or '.'} There are {', '.join(there)}."
        )

    def _reason(self, key: str, ref: Ref) -> str:
        column, table = self.column(ref), self._tables[ref.table]
        said = [f"{column.distinct:,} different values in {table.rows:,} rows"]
        form = time_form(column) if key in {"time", "created"} else None
        if form:
            said = [form.text]
            first, last = form.moment_of(column.low), form.moment_of(column.high)
            if first and last:
                said.append(f"from {first:%Y-%m-%d} to {last:%Y-%m-%d}")
        if looks.is_url(column):
            said.append("web addresses")
        if looks.is_email(column):
            said.append("e-mail addresses")
        if key == "price" and (mark := looks.price_mark(column)):
            said.append(f"texts with the decimal mark {mark!r}")
        if (empty := table.empty_share(ref.column)) > 0:
            said.append(f"{percent(empty)} of the rows without one")
        return ", ".join(said)

    def time_form(self, key: str, ref: Ref) -> TimeForm:
        """Return how a chosen column writes a time, and ask when its values can be read in two ways.

        :raises FatalError: they are no times.
        """
        form = time_form(self.column(ref))
        if form is None:
            raise FatalError(
                f"{self._answers.name}: {key}: the values of {ref} are in no form of a time that is known here. Write "
                "the SQL yourself (docs/warehouse.md, epoch_text), or name another column."
            )
        if form.other_form is None:
            return form
        month_first = self._answers.given.get("month_first")
        if month_first is None:
            text = f"Is 03/04/2026 in {ref} the 3rd of April (false) or the 4th of March (true)?"
            month_first = self._ask(Question("month_first", text, ["false", "true"])) == "true"
        chosen = form.other_form if month_first else form.form
        self.add("month_first", str(month_first).lower(), f"{ref} is of the form {chosen}")
        return TimeForm(form.helper, f"a text of the form {chosen}, taken as UTC", chosen)

    def _check_names(self) -> None:
        problems = []
        for key in ("interactions", "orders", "items", "customers"):
            named = self._answers.given.get(key)
            if named is not None and named not in self._tables:
                there = ", ".join(sorted(self._tables))
                hint = did_you_mean(named, self._tables) or "."
                problems.append(
                    f"{self._answers.name}: {key}: there is no table {named}{hint} There are {there}."
                )
        if problems:
            raise FatalError("\n".join(problems))
