"""Decide whether a FULL or UPDATE training is worth a billed run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from recsync.imports.new_rows import INCREMENT_INTERACTIONS, Choice, importable
from recsync.program import DatasetType, Drift, TrainFull, TrainUpdate


class NothingToTrain(Exception):  # ruff: ignore[error-suffix-on-exception-name] - an outcome, not an error: the run is skipped with this reason
    """Nothing is worth a billed run; the text says why."""


@dataclass(frozen=True)
class TrainingDecision:
    """Whether to train.

    :param why: the reason, either way, as a sentence for people.
    """

    train: bool
    why: str


@dataclass(frozen=True)
class Situation:
    """The figures since the last FULL training.

    :param last_until: end of the last FULL training's data; None before the first.
    :param began: when the last FULL run began, promoted or not; None before the first.
    :param rows_then: interactions that it trained on; None when unknown.
    :param rows_since: interactions in the intervals published since; None when none was published.
    :param new_items_share: share of those interactions with items that the FULL did not know, 0 to 1.
    :param figure_then: the gate's metric of the last promoted FULL version.
    :param figure_now: that of the champion.
    """

    last_until: datetime | None
    began: datetime | None = None
    rows_then: int | None = None
    rows_since: int | None = None
    new_items_share: float | None = None
    figure_then: float | None = None
    figure_now: float | None = None


def decide_full(situation: Situation, now: datetime, settings: TrainFull, *, due: bool) -> TrainingDecision:
    """Decide whether a run that no person started trains.

    :param due: the schedule started it; otherwise it looks for drift only.
    """
    if situation.last_until is None:
        return TrainingDecision(True, "There was no FULL training yet.")
    since = f"since the last FULL training's data ended at {situation.last_until.isoformat()}"
    if settings.drift and (text := _drifted(situation, settings.drift, now)):
        return TrainingDecision(True, f"Drift {since}: {text}.")
    if not due:
        return TrainingDecision(False, f"No drift {since}, and the schedule asks for no FULL training now.")
    if situation.rows_since is None:
        return TrainingDecision(True, f"Due; no interval was exported {since}, so nobody knows what is new.")
    if situation.rows_since < settings.min_new_interactions:
        return TrainingDecision(
            False,
            f"Due, but only {situation.rows_since} interactions came {since}; train_full.min_new_interactions is "
            f"{settings.min_new_interactions}. Run it by hand to train all the same.",
        )
    return TrainingDecision(True, f"Due, and {situation.rows_since} interactions came {since}.")


def drift(situation: Situation, settings: Drift, now: datetime) -> str | None:
    """Describe a drift that calls for a FULL training before its schedule; None without one."""
    return None if situation.last_until is None else _drifted(situation, settings, now)


def _drifted(situation: Situation, settings: Drift, now: datetime) -> str | None:
    earliest = (situation.began or situation.last_until or now) + timedelta(days=settings.min_days_between)
    # Without a minimum distance, drift that a FULL does not remove would start one each hour.
    return None if now < earliest else next(_findings(situation, settings), None)


def _findings(situation: Situation, settings: Drift) -> Iterator[str]:
    rows = situation.rows_since or 0
    if rows >= settings.min_interactions:
        share, limit = situation.new_items_share, settings.new_items_share
        if share is not None and limit is not None and share >= limit:
            yield (
                f"{share:.0%} of {rows} interactions are with items that it did not know; "
                f"train_full.drift.new_items_share is {limit:.0%}"
            )
        if (
            settings.growth is not None
            and situation.rows_then
            and rows >= settings.growth * situation.rows_then
        ):
            yield (
                f"{rows} interactions came to the {situation.rows_then} it trained on; "
                f"train_full.drift.growth is {settings.growth:.0%}"
            )
    then, now = situation.figure_then, situation.figure_now
    if (
        settings.metric_drop is not None
        and then
        and now is not None
        and now < then * (1 - settings.metric_drop)
    ):
        yield (
            f"the champion's figure is {now:.4f}, the last FULL version's was {then:.4f}; "
            f"train_full.drift.metric_drop is {settings.metric_drop:.0%}"
        )


def decide_update(
    pending: dict[DatasetType, Choice], new_items: int, now: datetime, settings: TrainUpdate
) -> TrainingDecision:
    """Train for new items, enough new interactions, or rows that have waited long enough.

    Interactions below the minimum of one import never count, however old: they cannot be imported.

    :param new_items: items among the pending rows that were never imported.
    """
    interactions, ready = pending[DatasetType.INTERACTIONS], importable(pending)
    ends = [piece.interval.end for choice in ready.values() for piece in choice.taken]
    rows, minimum = interactions.rows, max(settings.min_new_interactions, INCREMENT_INTERACTIONS)
    if not ends and not rows:
        return TrainingDecision(False, "Nothing is pending: everything that was exported is imported.")
    found = f"{rows} new interactions and {new_items} new items are pending"
    if settings.min_new_items is not None and new_items >= settings.min_new_items:
        return TrainingDecision(True, f"{found}; train_update.min_new_items is {settings.min_new_items}.")
    if rows >= minimum:
        return TrainingDecision(True, f"{found}; train_update.min_new_interactions is {minimum}.")
    if ready[DatasetType.INTERACTIONS].rest_waits:
        return TrainingDecision(True, f"{found}, and more than one import takes.")
    or_items = "" if settings.min_new_items is None else f" or {settings.min_new_items} new items"
    few = f"{found}; an UPDATE needs {minimum} interactions{or_items}."
    if not ends:
        return TrainingDecision(False, f"{few} They wait for more, or for the next FULL.")
    if settings.max_wait_hours is None:
        return TrainingDecision(False, f"{few} They wait.")
    until = min(ends) + timedelta(hours=settings.max_wait_hours)
    limit = f"train_update.max_wait_hours is {settings.max_wait_hours:g}"
    if now >= until:
        return TrainingDecision(True, f"{few} They have waited since {min(ends).isoformat()}; {limit}.")
    return TrainingDecision(
        False, f"{few} They wait until then, at most until {until.isoformat()} ({limit})."
    )
