"""Turn actions and what users did with them into integer arrays."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.engine.catalogue import SECONDS_PER_DAY
from personalize_local.engine.data import TrainingData, require_column
from personalize_local.engine.errors import TrainingDataError
from personalize_local.engine.interactions import (
    BoolArray,
    FloatArray,
    IntArray,
    codes,
    sorted_ids,
    timestamps,
)

TAKEN, VIEWED = "taken", "viewed"
# The guide spells the field in two ways.
EXPIRATIONS = ("ACTION_EXPIRATION_TIMESTAMP", "EXPIRATION_TIMESTAMP")


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
    """Hold what users did with actions, sorted by user, then time; `success` tells Taken, or soon taken."""

    user_ids: pa.Array
    user: IntArray
    action: IntArray
    time: IntArray
    taken: BoolArray
    success: BoolArray

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.user)

    def where(self, rows: BoolArray) -> "ActionEvents":
        """Keep some rows."""
        names = ("user", "action", "time", "taken", "success")
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


def read_events(data: TrainingData, actions: Actions, period_seconds: float, recipe: str) -> ActionEvents:
    """Read what users did with known actions.

    :param period_seconds: a viewed action counts as a success when it is taken within this time.
    :raises TrainingDataError: when nobody did anything.
    """
    table = data.action_interactions
    if table is None or table.num_rows == 0:
        raise TrainingDataError(f"Recipe {recipe} needs an Action_Interactions dataset with rows.")
    for name in ("USER_ID", "ACTION_ID", "EVENT_TYPE", "TIMESTAMP"):
        require_column(table, "Action_Interactions", name)
    table = table.filter(pc.is_in(table.column("ACTION_ID").cast(pa.string()), value_set=actions.ids))
    user_ids = sorted_ids(table.column("USER_ID"), data.interactions.column("USER_ID"))
    user, action = codes(table.column("USER_ID"), user_ids), codes(table.column("ACTION_ID"), actions.ids)
    time = timestamps(table.column("TIMESTAMP"))
    event = np.array([name.strip().lower() for name in table.column("EVENT_TYPE").to_pylist()], dtype=object)
    order = np.lexsort((event.astype(str), action, time, user))
    user, action, time, event = user[order], action[order], time[order], event[order]
    taken = np.asarray(event == TAKEN, dtype=np.bool_)
    soon = np.asarray(event == VIEWED, dtype=np.bool_)
    soon &= followed(user * len(actions) + action, time, taken, period_seconds)
    return ActionEvents(user_ids, user, action, time, taken, taken | soon)


def followed(pair: IntArray, time: IntArray, taken: BoolArray, period_seconds: float) -> BoolArray:
    """Tell for every row whether the same user took the same action within the period after it."""
    order = np.lexsort((time, pair))
    next_taken = np.full(len(pair), np.inf)
    latest, latest_pair = np.inf, -1
    for row in order[::-1].tolist():
        if pair[row] != latest_pair:
            latest, latest_pair = np.inf, int(pair[row])
        next_taken[row] = latest
        if taken[row]:
            latest = float(time[row])
    return np.asarray(next_taken - time <= period_seconds)
