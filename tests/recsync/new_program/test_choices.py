from __future__ import annotations

from typing import Any

import pytest

from recsync.errors import FatalError
from recsync.new_program.answers import Answers, Question, ask_nobody
from recsync.new_program.choices import Choices
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
