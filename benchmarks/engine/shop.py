"""Make up a large shop, alike everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.places import folder

_FIRST_SECOND = 1_700_000_000
_YEAR_SECONDS = 365 * 86_400
# Exponents of the made-up shop: a few items sell most, people differ less.
_ITEM_EXPONENT, _USER_EXPONENT = 0.8, 0.4
SHOP_ITEMS = 50_000
_SHOP_ROWS_PER_USER = 50
# What came in since the training: half a percent of the rows, by 2 % of the users, some of them of new items.
_NEW_ROWS_SHARE, _ACTIVE_USERS_SHARE, _NEW_ITEMS = 0.005, 0.02, 100


def shop(rows: int) -> tuple[Path, Path]:
    """Return Parquet files of a made-up shop and of the same shop somewhat later, made at the first call."""
    files = folder("engine") / f"shop-{rows}.parquet", folder("engine") / f"shop-{rows}-later.parquet"
    if not files[1].exists():
        random = np.random.default_rng(rows)
        users = shop_users(rows)
        user = _draw(random, rows, users, _USER_EXPONENT)
        item = _draw(random, rows, SHOP_ITEMS, _ITEM_EXPONENT)
        time = _FIRST_SECOND + random.integers(0, _YEAR_SECONDS, rows)
        before = _table(user, item, time)
        pq.write_table(before, files[0])
        more = max(1, int(_NEW_ROWS_SHARE * rows))
        active = random.choice(users, max(1, int(_ACTIVE_USERS_SHARE * users)), replace=False)
        late = _FIRST_SECOND + _YEAR_SECONDS + random.integers(0, 86_400, more)
        new = _table(random.choice(active, more), random.integers(0, SHOP_ITEMS + _NEW_ITEMS, more), late)
        pq.write_table(pa.concat_tables([before, new]), files[1])
    return files


def shop_users(rows: int) -> int:
    """Return how many users a shop of so many rows has."""
    return max(1, rows // _SHOP_ROWS_PER_USER)


def _draw(random: np.random.Generator, count: int, size: int, exponent: float) -> np.ndarray:
    chances = np.cumsum(1 / np.arange(1, size + 1) ** exponent)
    return np.minimum(np.searchsorted(chances, random.random(count) * chances[-1]), size - 1)


def _table(user: np.ndarray, item: np.ndarray, time: np.ndarray) -> pa.Table:
    ids = {"USER_ID": ("user-", user), "ITEM_ID": ("item-", item)}
    columns = {
        name: pc.binary_join_element_wise(prefix, pa.array(code).cast(pa.string()), "")
        for name, (prefix, code) in ids.items()
    }
    return pa.table({**columns, "TIMESTAMP": time})
