"""Count how often items were shown and ignored, from the column IMPRESSION of Interactions.

A user who has several rows with the same list was shown it once: an e-mail is read once, whatever is bought afterwards.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.engine.inputs import TrainingData
from personalize_local.engine.interactions import IntArray, Interactions

SEPARATOR = "|"


def ignored_items(data: TrainingData, interactions: Interactions) -> IntArray:
    """Count for every item the lists with it that were shown to users who never took it, shape (items,)."""
    if "IMPRESSION" not in data.interactions.column_names:
        return np.zeros(interactions.num_items, dtype=np.int64)
    shown = data.interactions.select(["USER_ID", "IMPRESSION"])
    shown = shown.filter(pc.is_valid(shown["IMPRESSION"])).group_by(shown.column_names, use_threads=False)
    distinct = shown.aggregate([]).combine_chunks()
    lists = pc.split_pattern(distinct["IMPRESSION"].combine_chunks(), SEPARATOR)
    places = pc.list_parent_indices(lists).to_numpy()
    items = _codes(pc.list_flatten(lists), interactions.item_ids)
    users = _codes(distinct["USER_ID"].combine_chunks(), interactions.user_ids)[places]
    pairs = users * interactions.num_items + items
    taken = np.isin(pairs, interactions.user * interactions.num_items + interactions.item)
    counted = (items >= 0) & (users >= 0) & ~taken
    return np.bincount(items[counted], minlength=interactions.num_items)


def _codes(ids: pa.Array, among: pa.Array) -> IntArray:
    """Return the position of each id, -1 for an unknown one."""
    found = pc.fill_null(pc.index_in(ids.cast(pa.string()), value_set=among), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)
