"""Read Actions, and turn Action_Interactions into exposures with an outcome."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.engine.catalog import SECONDS_PER_DAY
from personalize_local.engine.evaluation import HELD_OUT_SHARE, LABEL_SHARE, hash_ids
from personalize_local.engine.inputs import TrainingData, TrainingDataError, require_column
from personalize_local.engine.interactions import (
    BoolArray,
    FloatArray,
    IntArray,
    codes,
    sorted_ids,
    timestamps,
)

TAKEN, VIEWED = "taken", "viewed"
# The developer guide uses both names.
EXPIRATIONS = ("ACTION_EXPIRATION_TIMESTAMP", "EXPIRATION_TIMESTAMP")
# Outcome of a row; dropped rows belong to an earlier exposure.
DROPPED, UNDECIDED, FAILURE, SUCCESS = range(4)
# With this many exposures one tenth of the users is enough for the metrics.
ENOUGH_ROWS = 100_000


@dataclass(frozen=True)
class Actions:
    """Hold one entry per row of Actions, sorted by id; times in epoch seconds, nan where missing."""

    ids: pa.Array
    value: FloatArray
    expires: FloatArray
    repeat_seconds: FloatArray

    def __len__(self) -> int:
        """Count the actions."""
        return len(self.ids)


@dataclass(frozen=True)
class ActionEvents:
    """Hold what users did with actions, sorted by user, then time; `viewed` is true where nothing was decided."""

    user_ids: pa.Array
    user: IntArray
    action: IntArray
    time: IntArray
    taken: BoolArray
    viewed: BoolArray

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.user)

    def where(self, rows: BoolArray) -> "ActionEvents":
        """Keep some rows."""
        names = ("user", "action", "time", "taken", "viewed")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})


def read_actions(data: TrainingData, recipe: str) -> Actions:
    """Read the Actions; raise :class:`TrainingDataError` when there are none."""
    table = data.actions
    if table is None or table.num_rows == 0:
        raise TrainingDataError(f"Recipe {recipe} needs an Actions dataset with rows.")
    require_column(table, "Actions", "ACTION_ID")
    ids = sorted_ids(table.column("ACTION_ID"))
    place = codes(table.column("ACTION_ID"), ids)
    days = numbers(table, ("REPEAT_FREQUENCY",), place, len(ids))
    return Actions(
        ids=ids,
        value=numbers(table, ("VALUE",), place, len(ids)),
        expires=numbers(table, EXPIRATIONS, place, len(ids)),
        repeat_seconds=days * SECONDS_PER_DAY,
    )


def numbers(table: pa.Table, names: tuple[str, ...], place: IntArray, size: int) -> FloatArray:
    """Read an optional column of numbers under any of its names; nan where missing."""
    found = np.full(size, np.nan)
    for name in names:
        if name in table.column_names:
            found[place] = table.column(name).cast(pa.float64()).to_numpy()
    return found


def read_events(data: TrainingData, actions: Actions, recipe: str) -> ActionEvents:
    """Read what users did with known actions.

    :raises TrainingDataError: when there are no rows.
    """
    table = data.action_interactions
    if table is None or table.num_rows == 0:
        raise TrainingDataError(f"Recipe {recipe} needs an Action_Interactions dataset with rows.")
    for name in ("USER_ID", "ACTION_ID", "EVENT_TYPE", "TIMESTAMP"):
        require_column(table, "Action_Interactions", name)
    table = table.filter(pc.is_in(table.column("ACTION_ID").cast(pa.string()), value_set=actions.ids))
    if table.num_rows == 0:
        raise TrainingDataError(
            f"Recipe {recipe} needs Action_Interactions with actions of the Actions dataset."
        )
    user_ids = sorted_ids(table.column("USER_ID"), data.interactions.column("USER_ID"))
    user, action = codes(table.column("USER_ID"), user_ids), codes(table.column("ACTION_ID"), actions.ids)
    time = timestamps(table.column("TIMESTAMP"))
    event = pc.utf8_lower(pc.utf8_trim_whitespace(table.column("EVENT_TYPE").cast(pa.string())))
    taken = pc.equal(event, TAKEN).to_numpy(zero_copy_only=False)
    viewed = pc.equal(event, VIEWED).to_numpy(zero_copy_only=False)
    # At the same second an action is seen before it is taken.
    order = np.lexsort((taken, ~viewed, action, time, user))
    return ActionEvents(user_ids, user[order], action[order], time[order], taken[order], viewed[order])


def exposures(events: ActionEvents, period_seconds: float) -> ActionEvents:
    """Reduce the rows to one per exposure of a user to an action, at the time of its first row.

    A view and the decision on it are one exposure: as two rows, the view would be a failure before every success.
    A repeated view or success within the period is not a new exposure. A view without a decision is a failure after the
    period, and undecided before. Undecided exposures are dropped, unless all are undecided.
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
    """Hold out the newest rows of every tenth user with events; at least one user.

    :param fold: which tenth, from 0; users with one row are skipped.
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
    """Return how many tenths of the users to hold out in turn: 10 for few rows, 1 for 100,000 and more."""
    return min(round(1 / HELD_OUT_SHARE), max(1, ENOUGH_ROWS // max(1, len(events))))
