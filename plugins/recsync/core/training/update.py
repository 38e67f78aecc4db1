"""Whether an UPDATE is worth a billed run."""

from __future__ import annotations

from datetime import datetime, timedelta

from recsync.core.imports.choice import Choice
from recsync.core.program import DatasetType, TrainUpdate
from recsync.core.training.decision import Decision


def decide_update(
    choices: dict[DatasetType, Choice], new_items: int, now: datetime, settings: TrainUpdate
) -> Decision:
    """Decide on what is pending: new items, enough new interactions, or rows that have waited long enough.

    :param new_items: items among the pending rows that no import brought before.
    """
    ends = [piece.interval.end for choice in choices.values() for piece in choice.taken]
    if not ends:
        return Decision(False, "Nothing is pending: everything that was exported is imported.")
    interactions = choices[DatasetType.INTERACTIONS]
    rows, minimum = interactions.rows, settings.min_new_interactions
    pending = f"{rows} new interactions and {new_items} new items are pending"
    if settings.min_new_items is not None and new_items >= settings.min_new_items:
        return Decision(True, f"{pending}; train_update.min_new_items is {settings.min_new_items}.")
    if rows >= minimum:
        return Decision(True, f"{pending}; train_update.min_new_interactions is {minimum}.")
    if interactions.rest_waits:
        return Decision(True, f"{pending}, and more than one import takes.")
    few = f"{pending}; train_update asks for {minimum} interactions{_or_items(settings)}."
    if settings.max_wait_hours is None:
        return Decision(False, f"{few} They wait.")
    until = min(ends) + timedelta(hours=settings.max_wait_hours)
    limit = f"train_update.max_wait_hours is {settings.max_wait_hours:g}"
    if now >= until:
        return Decision(True, f"{few} They have waited since {min(ends).isoformat()}; {limit}.")
    return Decision(False, f"{few} They wait until then, at most until {until.isoformat()} ({limit}).")


def _or_items(settings: TrainUpdate) -> str:
    return "" if settings.min_new_items is None else f" or {settings.min_new_items} new items"
