"""Whether a FULL training is worth a billed run: it is due, or the data or the model's figures drifted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from recsync.program import Drift, TrainFull
from recsync.training.decision import Decision


@dataclass(frozen=True)
class Situation:
    """What is known since the last FULL training.

    :param last_until: end of the last FULL training's data; None before the first.
    :param began: when the last FULL run began, promoted or not; None before the first.
    :param rows_then: interactions that it trained on; None when that is not known.
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


def decide_full(situation: Situation, now: datetime, settings: TrainFull, *, due: bool) -> Decision:
    """Decide whether a run that nobody started by hand trains.

    :param due: the calendar started it; otherwise it looks for drift only.
    """
    if situation.last_until is None:
        return Decision(True, "There was no FULL training yet.")
    since = f"since the last FULL training's data ended at {situation.last_until.isoformat()}"
    if settings.drift and (text := _drifted(situation, settings.drift, now)):
        return Decision(True, f"Drift {since}: {text}.")
    if not due:
        return Decision(False, f"No drift {since}, and the schedule asks for no FULL training now.")
    if situation.rows_since is None:
        return Decision(True, f"Due; no interval was exported {since}, so nobody knows what is new.")
    if situation.rows_since < settings.min_new_interactions:
        return Decision(
            False,
            f"Due, but only {situation.rows_since} interactions came {since}; train_full.min_new_interactions is "
            f"{settings.min_new_interactions}. Run it by hand to train all the same.",
        )
    return Decision(True, f"Due, and {situation.rows_since} interactions came {since}.")


def drift(situation: Situation, settings: Drift, now: datetime) -> str | None:
    """Say what drifted so far that a FULL training should not wait for the schedule; None when nothing did."""
    return None if situation.last_until is None else _drifted(situation, settings, now)


def _drifted(situation: Situation, settings: Drift, now: datetime) -> str | None:
    earliest = (situation.began or situation.last_until or now) + timedelta(days=settings.min_days_between)
    # Without a distance, data that a FULL does not mend would have one trained each hour.
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
