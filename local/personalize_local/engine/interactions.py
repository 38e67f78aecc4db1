"""Turn interactions into integer arrays in one canonical order."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.engine.data import TrainingData
from personalize_local.engine.errors import TrainingDataError

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Interactions:
    """Hold interactions as arrays, sorted by user, time, item: the order of input rows leaves no trace.

    `user`, `item` index into `user_ids`, `item_ids` (both sorted by byte value); `time` is epoch seconds.
    """

    user_ids: pa.Array
    item_ids: pa.Array
    user: IntArray
    item: IntArray
    time: IntArray

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.user)

    @property
    def num_users(self) -> int:
        """Count the ids that `user` indexes into, including users without rows here."""
        return len(self.user_ids)

    @property
    def num_items(self) -> int:
        """Count the ids that `item` indexes into, including items without rows here."""
        return len(self.item_ids)

    @property
    def latest(self) -> int:
        """Tell the time of the newest interaction, epoch seconds."""
        return int(self.time.max())

    def where(self, rows: BoolArray) -> "Interactions":
        """Keep some rows; ids and codes stay as they are."""
        return replace(self, user=self.user[rows], item=self.item[rows], time=self.time[rows])

    def rows_per_user(self) -> IntArray:
        """Count the rows of every user, shape (num_users,)."""
        return np.bincount(self.user, minlength=self.num_users)

    def rank_in_user(self) -> IntArray:
        """Number each user's rows from 0, oldest first, shape (rows,)."""
        rows = self.rows_per_user()
        starts = np.cumsum(rows) - rows
        return np.arange(len(self)) - starts[self.user]


def sorted_ids(*columns: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Collect the distinct ids of all columns, sorted by byte value."""
    chunks = [part for column in columns for part in as_strings(column).chunks]
    distinct = pc.unique(pa.chunked_array(chunks, type=pa.string()))
    return distinct.take(pc.sort_indices(distinct))


def as_strings(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray:
    """Cast an id column to plain strings."""
    chunked = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    return chunked.cast(pa.string())


def encode(data: TrainingData) -> Interactions:
    """Encode the interactions over all items of Interactions and Items.

    :raises TrainingDataError: for tables that cannot be trained on.
    """
    data.check()
    table = data.interactions
    catalogue = [] if data.items is None else [data.items.column("ITEM_ID")]
    user_ids = sorted_ids(table.column("USER_ID"))
    item_ids = sorted_ids(table.column("ITEM_ID"), *catalogue)
    columns = [
        codes(table.column("USER_ID"), user_ids),
        timestamps(table.column("TIMESTAMP")),
        codes(table.column("ITEM_ID"), item_ids),
    ]
    if "EVENT_TYPE" in table.column_names:
        events = as_strings(pc.fill_null(table.column("EVENT_TYPE"), ""))
        columns.append(codes(events, sorted_ids(events)))
    user, time, item = distinct_rows(columns)[:3]
    return Interactions(user_ids, item_ids, user, item, time)


def codes(column: pa.ChunkedArray, ids: pa.Array) -> IntArray:
    """Replace ids by their positions in the sorted ids."""
    positions = pc.index_in(as_strings(column), value_set=ids)
    return np.asarray(positions.to_numpy(), dtype=np.int64)


def timestamps(column: pa.ChunkedArray) -> IntArray:
    """Read epoch seconds as int64."""
    try:
        return np.asarray(column.cast(pa.int64()).to_numpy(), dtype=np.int64)
    except pa.ArrowInvalid as error:
        raise TrainingDataError(f"Column TIMESTAMP is not epoch seconds: {error}") from error


def distinct_rows(columns: list[IntArray]) -> list[IntArray]:
    """Sort rows by the columns, first one first, and keep one of each."""
    order = np.lexsort(columns[::-1])
    ordered = [column[order] for column in columns]
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = np.any([column[1:] != column[:-1] for column in ordered], axis=0)
    return [column[first] for column in ordered]
