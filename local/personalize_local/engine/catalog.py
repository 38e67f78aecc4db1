"""Describe the items of the catalog: popularity, age, and whether they are new."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from personalize_local.engine.impressions import ignored_items
from personalize_local.engine.inputs import TrainingData
from personalize_local.engine.interactions import BoolArray, FloatArray, IntArray, Interactions, codes

FILE = "catalogue.parquet"
SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class Catalog:
    """One entry per item of Interactions and Items, sorted by id.

    `users` counts distinct users, `rows` interactions. `age_days` is relative to the newest interaction; `created` is
    true if it comes from CREATION_TIMESTAMP. `new` is true if an UPDATE training added the item, which has no weights.
    `ignored` counts the lists with the item that were shown to users who never took it.
    """

    item_ids: pa.Array
    users: IntArray
    rows: IntArray
    age_days: FloatArray
    created: BoolArray
    new: BoolArray
    ignored: IntArray

    def __len__(self) -> int:
        """Count the items."""
        return len(self.item_ids)

    def by_popularity(self) -> IntArray:
        """List item codes, most distinct users first; ties by more rows, then by id."""
        return np.lexsort((np.arange(len(self)), -self.rows, -self.users))

    def write(self, folder: Path) -> None:
        """Write one Parquet file."""
        pq.write_table(
            pa.table({name: getattr(self, name) for name in self.__dataclass_fields__}), folder / FILE
        )

    @classmethod
    def read(cls, folder: Path) -> "Catalog":
        """Read what :meth:`write` wrote."""
        table = pq.read_table(folder / FILE).combine_chunks()
        ids = table.column("item_ids").chunk(0)
        columns = {name: table.column(name).to_numpy() for name in table.column_names[1:]}
        # Models of earlier versions have no impressions.
        return cls(ids, **{"ignored": np.zeros(len(ids), dtype=np.int64), **columns})


def describe_items(
    data: TrainingData,
    interactions: Interactions,
    known: BoolArray | None = None,
    users: IntArray | None = None,
) -> Catalog:
    """Describe all items of the encoded interactions.

    :param known: items that a FULL training saw, shape (items,); None when it saw all.
    :param users: distinct users of every item, if already counted.
    """
    created_at = creation_times(data, interactions)
    first_seen = first_interactions(interactions)
    latest = interactions.latest
    born = np.where(np.isnan(created_at), first_seen, created_at)
    age_days = np.nan_to_num((latest - born) / SECONDS_PER_DAY, nan=0.0)
    return Catalog(
        item_ids=interactions.item_ids,
        users=distinct_users(interactions) if users is None else users,
        rows=np.bincount(interactions.item, minlength=interactions.num_items),
        age_days=age_days,
        created=~np.isnan(created_at),
        new=np.zeros(interactions.num_items, dtype=np.bool_) if known is None else ~known,
        ignored=ignored_items(data, interactions),
    )


def distinct_users(interactions: Interactions) -> IntArray:
    """Count the distinct users of every item, shape (num_items,)."""
    # numpy's unique hashes first, which is several times slower on these keys than sorting.
    keys = np.sort(interactions.user * interactions.num_items + interactions.item)
    first = np.append(True, keys[1:] != keys[:-1]) if len(keys) else np.zeros(0, dtype=np.bool_)
    return np.bincount(keys[first] % interactions.num_items, minlength=interactions.num_items)


def first_interactions(interactions: Interactions) -> FloatArray:
    """Find the time of every item's first interaction, nan where there is none."""
    first = np.full(interactions.num_items, np.inf)
    np.minimum.at(first, interactions.item, interactions.time.astype(np.float64))
    return np.where(np.isinf(first), np.nan, first)


def creation_times(data: TrainingData, interactions: Interactions) -> FloatArray:
    """Read CREATION_TIMESTAMP per item, the earliest when an item has several rows, nan where missing."""
    times = np.full(interactions.num_items, np.inf)
    if data.items is not None and "CREATION_TIMESTAMP" in data.items.column_names:
        stated = data.items.filter(pc.is_valid(data.items.column("CREATION_TIMESTAMP")))
        items = codes(stated.column("ITEM_ID"), interactions.item_ids)
        seconds = stated.column("CREATION_TIMESTAMP").cast(pa.float64()).to_numpy()
        np.minimum.at(times, items, seconds)
    return np.where(np.isinf(times), np.nan, times)
