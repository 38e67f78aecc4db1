from __future__ import annotations

from recsync.costs.estimate import newest_entry, training
from recsync.costs.ledger import UsageEntry
from recsync.costs.prices import Charge, UsageKind

UP, V2 = "aws-user-personalization", "aws-user-personalization-v2"


def trained(
    day: int, hours: float, mode: str = "FULL", rows: int | None = None, recipe: str = UP
) -> UsageEntry:
    at = f"2026-11-{day:02}T05:00:00+00:00"
    return UsageEntry(UsageKind.TRAINING_HOURS, hours, at, recipe=recipe, mode=mode, rows=rows)


def expected(*former: UsageEntry, mode: str = "FULL", rows: int | None = None, recipe: str = UP) -> Charge:
    return training(former, recipe=recipe, mode=mode, rows=rows, what="t", job="j", assumed_hours=4)


def test_the_first_training_is_assumed() -> None:
    assert expected().quantity == 4
    assert "assumed" in expected().basis
    assert expected(trained(1, 9, recipe="aws-sims"), trained(2, 9, "HPO")).quantity == 4


def test_the_longest_of_the_last_three_counts_in_any_order() -> None:
    assert expected(trained(4, 2), trained(1, 9), trained(3, 3), trained(2, 1)).quantity == 3


def test_it_grows_with_the_data_and_does_not_shrink() -> None:
    assert expected(trained(1, 2, rows=100), rows=150).quantity == 3
    assert expected(trained(1, 2, rows=100), rows=50).quantity == 2
    assert expected(trained(1, 2), rows=150).quantity == 2, "the rows of that one are unknown"


def test_an_update_is_estimated_from_updates_and_else_from_full_trainings() -> None:
    assert expected(trained(1, 5), trained(2, 1, "UPDATE"), mode="UPDATE").quantity == 1
    assert expected(trained(1, 5), trained(2, 7, "HPO"), mode="UPDATE").quantity == 5


def test_v2_recipes_are_billed_by_interactions() -> None:
    charge = expected(recipe=V2, rows=5000)
    assert (charge.kind, charge.quantity) == (UsageKind.TRAINED_INTERACTIONS, 5000)


def test_the_newest_entry_is_found_and_estimates_are_ignored() -> None:
    promised = UsageEntry(UsageKind.TRAINING_HOURS, 9, "2026-12", expected=True)
    found = newest_entry([trained(2, 2), trained(3, 3), trained(1, 1), promised], UsageKind.TRAINING_HOURS)
    assert found
    assert found.quantity == 3
    assert newest_entry([], UsageKind.DATA_POINTS) is None
