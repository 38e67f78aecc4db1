"""Choose columns by their scores, by the answers or by a question, and keep the reason of each choice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from recsync.errors import FatalError
from recsync.formatting import did_you_mean, percent
from recsync.new_program import columns as looks
from recsync.new_program.answers import Answers, Ask, Question
from recsync.new_program.columns import Column, Ref, Table
from recsync.new_program.scores import LIKELY
from recsync.new_program.time_forms import TimeForm, time_form

# Two candidates this close cannot be told apart.
CLOSE = 0.25

Score = Callable[[Ref], float]


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
