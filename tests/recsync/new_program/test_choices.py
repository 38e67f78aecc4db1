from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from recsync.errors import FatalError, ProgramError
from recsync.new_program.choices import KEYS, Answers, Choices, Question, ask_nobody, ask_terminal
from recsync.new_program.columns import Column, Ref, Table
from recsync.warehouse.column_types import Kind

NAMES = ("customer_id", "member_id", "product_id")
TABLE = Table(
    "public", "orders", 1_000,
    {
        **{name: Column(name, Kind.TEXT, "text", 1_000, 90) for name in NAMES},
        "at": Column("at", Kind.MOMENT, "timestamptz", 1_000, 900, "2026-01-01", "2026-02-01"),
    },
)  # fmt: skip


def choices(ask: Any = ask_nobody, **answers: Any) -> Choices:
    return Choices({"orders": TABLE}, Answers(answers, "answers.yaml"), ask)


def score(**points: float) -> Any:
    return lambda ref: points.get(ref.column, 0.0)


def test_the_best_column_is_chosen_and_its_reason_given() -> None:
    found = choices()
    assert found.needed("user", ["orders"], score(customer_id=4, member_id=3)).column == "customer_id"
    found.needed("time", ["orders"], score(at=2))
    assert [(choice.key, choice.reason) for choice in found.made] == [
        ("user", "90 different values in 1,000 rows"),
        ("time", "a timestamptz, from 2026-01-01 to 2026-02-01"),
    ]


def test_a_column_that_is_taken_is_not_chosen_again() -> None:
    taken = {Ref("orders", "customer_id")}
    assert (
        choices().needed("item", ["orders"], score(customer_id=4, product_id=3), taken).column == "product_id"
    )


def test_two_columns_that_may_both_be_meant_are_asked_about() -> None:
    asked: list[Question] = []

    def ask(question: Question) -> str:
        asked.append(question)
        return "member_id"

    both = score(customer_id=4, member_id=4, product_id=1)
    assert choices(ask).needed("user", ["orders"], both) == Ref("orders", "member_id")
    assert [(question.key, question.choices) for question in asked] == [
        ("user", ["customer_id", "member_id"])
    ]
    assert choices(ask, user="customer_id").needed("user", ["orders"], both) == Ref("orders", "customer_id")


def test_of_several_times_the_first_is_taken_and_the_others_are_noted() -> None:
    found = choices()
    both = score(at=3, customer_id=3)
    chosen = found.needed("time", ["orders"], both, first_of_several=True)
    assert (chosen.column, found.notes) == (
        "customer_id",
        ["time may also be orders.at; write it into ANSWERS= if it is."],
    )


def test_an_optional_column_is_left_out_when_none_is_likely_or_it_is_refused() -> None:
    likely = score(product_id=1)
    assert choices().optional("value", ["orders"], likely) == Ref("orders", "product_id")
    assert choices().optional("value", ["orders"], score(product_id=0.9)) is None
    assert choices(value=None).optional("value", ["orders"], likely) is None


def test_an_answer_that_names_what_is_not_there_says_what_is() -> None:
    with pytest.raises(FatalError, match=r"interactions: there is no table order; did you mean orders\?"):
        choices(interactions="order")
    with pytest.raises(
        FatalError, match=r"user: there is no column custmer_id in orders; did you mean customer_id\?"
    ):
        choices(user="custmer_id").needed("user", ["orders"], score())
    with pytest.raises(FatalError, match="user is needed"):
        choices(user=None).needed("user", ["orders"], score())
    with pytest.raises(FatalError, match=r"time: the values of orders\.product_id are in no form of a time"):
        choices().time_form("time", Ref("orders", "product_id"))


QUESTION = Question("user", "Which column has the user?", ["customer_id", "session_id"])


def written(folder: Path, text: str) -> Path:
    path = folder / "answers.yaml"
    path.write_text(text)
    return path


def test_answers_are_read_as_they_are(tmp_path: Path) -> None:
    found = Answers.read(written(tmp_path, "user: customer_id\nevent: null\nmonth_first: true\n"))
    assert found.given == {"user": "customer_id", "event": None, "month_first": True}
    assert Answers.read(written(tmp_path, "# nothing yet\n")).given == {}


def test_every_wrong_key_is_named_with_what_was_meant_and_the_keys_there_are(tmp_path: Path) -> None:
    path = written(tmp_path, "usr: customer_id\ntimes: at\nprice: 5\nmonth_first: perhaps\n")
    with pytest.raises(FatalError) as error:
        Answers.read(path)
    told = str(error.value)
    assert "unknown key usr; did you mean user?" in told
    assert "unknown key times; did you mean time?" in told
    assert "price must be a name" in told
    assert "month_first must be true or false" in told
    assert all(f"  {key}: " in told for key in KEYS)


@pytest.mark.parametrize("text", ["- user\n", "just text\n"])
def test_a_file_that_is_no_list_of_answers_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(FatalError, match="one answer a line"):
        Answers.read(written(tmp_path, text))
    with pytest.raises(ProgramError):
        Answers.read(written(tmp_path, "a: [\n"))


def test_nobody_is_told_what_to_write() -> None:
    with pytest.raises(
        FatalError, match=r"One of: customer_id, session_id\. .*\n  user: customer_id\n.*ANSWERS"
    ):
        ask_nobody(QUESTION)


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("\n", "customer_id"),
        ("2\n", "session_id"),
        ("session_id\n", "session_id"),
        ("sesion_id\n1\n", "customer_id"),
    ],
)
def test_a_person_answers_by_number_by_name_or_with_the_default(
    typed: str, answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert ask_terminal(QUESTION) == answer
    told = capsys.readouterr().out
    assert "1. customer_id" in told
    assert ("did you mean session_id?" in told) == typed.startswith("sesion")


def test_a_terminal_that_ends_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(FatalError, match="no terminal"):
        ask_terminal(QUESTION)
