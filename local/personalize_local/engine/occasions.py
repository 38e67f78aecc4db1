"""Turn what users did with actions into occasions with an outcome, and hold some of them out."""

from dataclasses import replace

import numpy as np

from personalize_local.engine.actions import ActionEvents
from personalize_local.engine.split import HELD_OUT_SHARE, LABEL_SHARE, hash_ids

# What becomes of a row when occasions are made of rows.
DROPPED, UNDECIDED, FAILURE, SUCCESS = range(4)
# A tenth of so many occasions tells the metrics well enough.
ENOUGH_ROWS = 100_000


def occasions(events: ActionEvents, period_seconds: float) -> ActionEvents:
    """Reduce the rows to one per occasion on which a user could take an action, at the time it began.

    A view and what is decided on it are one occasion: as two rows, the view would count as a failure that is
    always followed by a success. Another view, or taking the action again, within the period is no new occasion.
    A view counts as a failure once the period has passed; what is younger is undecided and left out, unless
    nothing else is there.
    """
    order = np.lexsort((np.arange(len(events)), events.action, events.user))
    keys = np.column_stack((events.user, events.action))[order].tolist()
    rows = zip(
        order.tolist(),
        keys,
        events.time[order].tolist(),
        events.taken[order],
        events.viewed[order],
        strict=True,
    )
    outcome = np.full(len(events), DROPPED)
    pair, pending, taken_at = None, -1, -np.inf
    for row, key, time, taken, viewed in rows:
        if key != pair:
            pair, pending, taken_at = key, -1, -np.inf
        if viewed:
            if pending < 0 or time - events.time[pending] > period_seconds:
                pending, outcome[row] = row, UNDECIDED
        elif taken:
            if pending >= 0 or time - taken_at > period_seconds:
                outcome[row if pending < 0 else pending] = SUCCESS
                taken_at = time
            pending = -1
        else:
            outcome[row if pending < 0 else pending] = FAILURE
            pending = -1
    passed = events.time <= int(events.time.max()) - period_seconds
    outcome[(outcome == UNDECIDED) & passed] = FAILURE
    kept = (outcome == SUCCESS) | (outcome == FAILURE)
    kept = kept if kept.any() else outcome != DROPPED
    return replace(events, taken=outcome == SUCCESS).where(kept)


def split_events(
    events: ActionEvents, fold: int, label_share: float = LABEL_SHARE
) -> tuple[ActionEvents, ActionEvents]:
    """Take the newest rows away from every tenth user who did something, at least from one.

    :param fold: which tenth, from 0; those with one row are left alone.
    """
    active = np.unique(events.user)
    hashes = hash_ids(events.user_ids.take(active).to_pylist(), "actions")
    chosen = active[np.argsort(hashes, kind="stable")[fold :: round(1 / HELD_OUT_SHARE)]]
    rows = np.bincount(events.user, minlength=len(events.user_ids))
    starts = np.cumsum(rows) - rows
    rank = np.arange(len(events)) - starts[events.user]
    labels = np.ceil(np.round(label_share * rows, 9)).astype(np.int64)
    is_label = np.isin(events.user, chosen) & (rank >= (rows - labels)[events.user]) & (rows > 1)[events.user]
    return events.where(~is_label), events.where(is_label)


def folds(events: ActionEvents) -> int:
    """Count the tenths of the users to hold out in turn: one of many rows is enough, of few all ten."""
    return min(round(1 / HELD_OUT_SHARE), max(1, ENOUGH_ROWS // max(1, len(events))))
