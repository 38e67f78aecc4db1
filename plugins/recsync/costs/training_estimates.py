"""What a training is expected to need, told from the last ones."""

from __future__ import annotations

from collections.abc import Iterable

from recsync.costs.charges import Charge, Kind
from recsync.costs.ledger import Entry

SEARCH = "HPO"
"""The mode of a training that searches for hyperparameters."""

_LAST = 3


def counts_interactions(recipe: str) -> bool:
    """Tell whether trainings of a recipe are billed by interactions instead of hours.

    https://aws.amazon.com/personalize/pricing/
    """
    return recipe.endswith("-v2")


def training(
    entries: Iterable[Entry],
    *,
    recipe: str,
    mode: str,
    rows: int | None,
    what: str,
    job: str,
    assumed_hours: float,
) -> Charge:
    """Say what a training is expected to need: the most of the last three, grown as the data grew.

    :param entries: of this month and the one before.
    :param rows: interactions that it will have; None when unknown.
    :param assumed_hours: taken when no training of the recipe is known.
    """
    if counts_interactions(recipe) and rows is not None:
        return Charge(Kind.TRAINED_INTERACTIONS, rows, what, job, "the interactions of this run")
    former = sorted((e for e in entries if _is_training(e, recipe)), key=lambda entry: entry.at)
    alike = [entry for entry in former if entry.mode == mode] or [e for e in former if e.mode != SEARCH]
    hours = max((_grown(entry, rows) for entry in alike[-_LAST:]), default=None)
    if hours is None:
        return Charge(
            Kind.TRAINING_HOURS, assumed_hours, what, job, "assumed: no training of this recipe is booked yet"
        )
    basis = f"the most of the last {len(alike[-_LAST:])} {alike[-1].mode}, grown with the data"
    return Charge(Kind.TRAINING_HOURS, hours, what, job, basis)


def last(entries: Iterable[Entry], kind: Kind) -> Entry | None:
    """Give the newest use of a kind."""
    return max((e for e in entries if e.kind is kind and not e.expected), key=lambda e: e.at, default=None)


def _is_training(entry: Entry, recipe: str) -> bool:
    return entry.kind is Kind.TRAINING_HOURS and not entry.expected and entry.recipe == recipe


def _grown(entry: Entry, rows: int | None) -> float:
    """Scale the hours with the interactions; less data is no reason to expect less."""
    return entry.quantity * max(1.0, rows / entry.rows) if rows and entry.rows else entry.quantity
