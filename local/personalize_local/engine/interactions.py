"""Turn interactions into integer arrays in one canonical order."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.engine.inputs import TrainingData, TrainingDataError

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
# An int64 without its sign.
PACKED_BITS = 63


@dataclass(frozen=True)
class Interactions:
    """Interactions as arrays, sorted by user, time, item, so that the order of input rows does not matter.

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
        """Return the time of the newest interaction, epoch seconds."""
        return int(self.time.max())

    def where(self, rows: BoolArray) -> "Interactions":
        """Keep some rows; ids and codes stay as they are."""
        return replace(self, user=self.user[rows], item=self.item[rows], time=self.time[rows])

    def take_users(self, users: IntArray) -> "Interactions":
        """Keep the rows and ids of some users, given by sorted codes."""
        place = np.full(self.num_users, -1, dtype=np.int64)
        place[users] = np.arange(len(users))
        rows = np.flatnonzero(place[self.user] >= 0)
        user = place[self.user[rows]]
        return Interactions(self.user_ids.take(users), self.item_ids, user, self.item[rows], self.time[rows])

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
    user_ids, item_ids, columns = read_columns(data)
    user, time, item = distinct_rows(columns)[:3]
    return Interactions(user_ids, item_ids, user, item, time)


def read_columns(data: TrainingData) -> tuple[pa.Array, pa.Array, list[IntArray]]:
    """Read the ids of users and items, and per row user, time, item and, where there is one, event type.

    :raises TrainingDataError: for tables that cannot be trained on.
    """
    data.check()
    table = data.interactions
    catalog = [] if data.items is None else [data.items.column("ITEM_ID")]
    # Arrow releases the GIL, so both columns are read in parallel.
    with ThreadPoolExecutor(2) as threads:
        users = threads.submit(ids_and_codes, table.column("USER_ID"))
        item_ids, item_codes = ids_and_codes(table.column("ITEM_ID"), *catalog)
        user_ids, user_codes = users.result()
    columns = [user_codes, timestamps(table.column("TIMESTAMP")), item_codes]
    if "EVENT_TYPE" in table.column_names:
        events = as_strings(pc.fill_null(table.column("EVENT_TYPE"), ""))
        columns.append(ids_and_codes(events)[1])
    return user_ids, item_ids, columns


def ids_and_codes(column: pa.ChunkedArray, *more: pa.ChunkedArray) -> tuple[pa.Array, IntArray]:
    """Replace the ids of the first column by their positions in the sorted ids of all columns."""
    encoded = as_strings(column).dictionary_encode().unify_dictionaries()
    dictionary = encoded.chunk(0).dictionary if encoded.num_chunks else pa.array([], pa.string())
    ids = sorted_ids(dictionary, *more)
    places = codes(pa.chunked_array([dictionary]), ids)
    parts = [places[part.indices.to_numpy()] for part in encoded.chunks]
    return ids, np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


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
    if len(columns[0]) == 0:
        return columns
    lowest = [int(column.min()) for column in columns]
    bits = [(int(column.max()) - low).bit_length() for column, low in zip(columns, lowest, strict=True)]
    if sum(bits) > PACKED_BITS:
        order = np.lexsort(columns[::-1])
        ordered = [column[order] for column in columns]
        first = np.any([first_of_each(column) for column in ordered], axis=0)
        return [column[first] for column in ordered]
    # One integer per row sorts ten times as fast as several columns do.
    packed = np.zeros(len(columns[0]), dtype=np.int64)
    for column, low, width in zip(columns, lowest, bits, strict=True):
        packed <<= width
        packed |= column - low
    packed.sort()
    packed = packed[first_of_each(packed)]
    result = []
    for low, width in zip(lowest[::-1], bits[::-1], strict=True):
        result.append((packed & ((1 << width) - 1)) + low)
        packed >>= width
    return result[::-1]


def first_of_each(values: IntArray) -> BoolArray:
    """Mark where a value differs from the one before it."""
    changed = np.ones(len(values), dtype=np.bool_)
    changed[1:] = values[1:] != values[:-1]
    return changed


def sort_stably(keys: IntArray) -> tuple[IntArray, IntArray]:
    """Sort non-negative integers; returns them with their former places."""
    place_bits = len(keys).bit_length()
    if len(keys) == 0 or int(keys.max()).bit_length() + place_bits > PACKED_BITS:
        order = np.argsort(keys, kind="stable")
        return keys[order], order
    # Sorting values is several times faster than sorting places by values.
    packed = (keys << place_bits) | np.arange(len(keys))
    packed.sort()
    return packed >> place_bits, packed & ((1 << place_bits) - 1)
