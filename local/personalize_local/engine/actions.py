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

    :raises TrainingDataError: when nobody did anything.
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
