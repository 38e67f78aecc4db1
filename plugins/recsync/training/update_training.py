"""Whether an UPDATE is worth a billed run."""

from __future__ import annotations

from datetime import datetime, timedelta

from recsync.imports.choice import INCREMENT_INTERACTIONS, Choice, importable
from recsync.program import DatasetType, TrainUpdate
from recsync.training.decision import Decision


def decide_update(
    pending: dict[DatasetType, Choice], new_items: int, now: datetime, settings: TrainUpdate
) -> Decision:
    """Decide on what is pending: new items, enough new interactions, or rows that have waited long enough.

    Interactions below the minimum of one import are no reason to train, however old they are: they cannot be imported.

    :param new_items: items among the pending rows that no import brought before.
    """
    interactions, ready = pending[DatasetType.INTERACTIONS], importable(pending)
    ends = [piece.interval.end for choice in ready.values() for piece in choice.taken]
    rows, minimum = interactions.rows, max(settings.min_new_interactions, INCREMENT_INTERACTIONS)
    if not ends and not rows:
        return Decision(False, "Nothing is pending: everything that was exported is imported.")
    found = f"{rows} new interactions and {new_items} new items are pending"
    if settings.min_new_items is not None and new_items >= settings.min_new_items:
        return Decision(True, f"{found}; train_update.min_new_items is {settings.min_new_items}.")
    if rows >= minimum:
        return Decision(True, f"{found}; train_update.min_new_interactions is {minimum}.")
    if ready[DatasetType.INTERACTIONS].rest_waits:
        return Decision(True, f"{found}, and more than one import takes.")
    few = f"{found}; an UPDATE needs {minimum} interactions{_or_items(settings)}."
    if not ends:
        return Decision(False, f"{few} They wait for more, or for the next FULL.")
    if settings.max_wait_hours is None:
        return Decision(False, f"{few} They wait.")
    until = min(ends) + timedelta(hours=settings.max_wait_hours)
    limit = f"train_update.max_wait_hours is {settings.max_wait_hours:g}"
    if now >= until:
        return Decision(True, f"{few} They have waited since {min(ends).isoformat()}; {limit}.")
    return Decision(False, f"{few} They wait until then, at most until {until.isoformat()} ({limit}).")


def _or_items(settings: TrainUpdate) -> str:
    return "" if settings.min_new_items is None else f" or {settings.min_new_items} new items"
