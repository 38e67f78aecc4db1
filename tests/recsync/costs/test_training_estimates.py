from __future__ import annotations

from recsync.costs.charges import Charge, Kind
from recsync.costs.ledger import Entry
from recsync.costs.training_estimates import last, training

UP, V2 = "aws-user-personalization", "aws-user-personalization-v2"


def trained(day: int, hours: float, mode: str = "FULL", rows: int | None = None, recipe: str = UP) -> Entry:
    at = f"2026-11-{day:02}T05:00:00+00:00"
    return Entry(Kind.TRAINING_HOURS, hours, at, recipe=recipe, mode=mode, rows=rows)


def expected(*former: Entry, mode: str = "FULL", rows: int | None = None, recipe: str = UP) -> Charge:
    return training(former, recipe=recipe, mode=mode, rows=rows, what="t", job="j", assumed_hours=4)


def test_the_first_training_is_assumed() -> None:
    assert expected().quantity == 4
    assert "assumed" in expected().basis
    assert expected(trained(1, 9, recipe="aws-sims"), trained(2, 9, "HPO")).quantity == 4


def test_the_most_of_the_last_three_counts_whatever_their_order() -> None:
    assert expected(trained(4, 2), trained(1, 9), trained(3, 3), trained(2, 1)).quantity == 3


def test_it_grows_with_the_data_and_does_not_shrink() -> None:
    assert expected(trained(1, 2, rows=100), rows=150).quantity == 3
    assert expected(trained(1, 2, rows=100), rows=50).quantity == 2
    assert expected(trained(1, 2), rows=150).quantity == 2, "nobody knows what that one had"


def test_an_update_is_told_from_updates_and_else_from_full_trainings() -> None:
    assert expected(trained(1, 5), trained(2, 1, "UPDATE"), mode="UPDATE").quantity == 1
    assert expected(trained(1, 5), trained(2, 7, "HPO"), mode="UPDATE").quantity == 5


def test_v2_recipes_are_billed_by_interactions() -> None:
    charge = expected(recipe=V2, rows=5000)
    assert (charge.kind, charge.quantity) == (Kind.TRAINED_INTERACTIONS, 5000)


def test_the_newest_use_is_the_last_and_expectations_are_none() -> None:
    promised = Entry(Kind.TRAINING_HOURS, 9, "2026-12", expected=True)
    found = last([trained(2, 2), trained(3, 3), trained(1, 1), promised], Kind.TRAINING_HOURS)
    assert found
    assert found.quantity == 3
    assert last([], Kind.DATA_POINTS) is None
