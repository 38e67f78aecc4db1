"""What people bought lately: for the rule that leaves it out, and for the tiers of the fallback."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsync.program import Recommendations
from recsync.recommend.lists.catalogue import Catalogue
from recsync.recommend.lists.partitions import Partitions
from recsync.recommend.lists.rules import Lists
from recsync.warehouse.values import WHOLE_NUMBER

EVENTS = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("timestamp", pa.int64())])
"""What somebody did, as the local file of a history holds it; ``timestamp`` in Unix seconds."""
PURCHASES = pa.schema([("user_id", pa.string()), ("item", pa.int32()), ("timestamp", pa.int64())])
"""Each item of the catalogue that somebody bought, once, with the last time."""

# Nobody's list needs more candidates than this from one popularity ranking.
_POPULAR_ITEMS = 1_000
# Bounds of the co-occurrence count: pairs grow with the square of a history.
_PAIRED_USERS = 200_000
_PAIRED_ITEMS_PER_USER = 20
_SIMILAR_PER_ITEM = 30


@dataclass(frozen=True)
class Similar:
    """For each item the items most often bought by its buyers, as ragged rows.

    :param starts: where each item's row begins in ``items``; one more than there are items.
    :param weights: how many people bought both.
    """

    starts: NDArray[np.int64]
    items: NDArray[np.int32]
    weights: NDArray[np.int64]


@dataclass(frozen=True)
class History:
    """What rules and fallback know about the past; what the program does not use is None or empty.

    :param bought_since: Unix seconds; later purchases are left out of lists.
    :param fallback_since: Unix seconds; later purchases feed the fallback.
    """

    purchases: Partitions
    bought_since: int | None
    fallback_since: int
    popular: NDArray[np.int32]
    segments: pa.StringArray
    popular_in_segment: Lists
    similar: Similar | None


def write_events(batches: Iterable[pa.RecordBatch], target: Path, event_types: tuple[str, ...] = ()) -> int:
    """Write interactions to a local file, in bounded memory; rows that an export would quarantine are left out.

    :param batches: texts: user id, item id, timestamp and, when ``event_types`` are given, event type.
    :param event_types: those that count; empty: all.
    :returns: how many were written.
    """
    written = 0
    with pq.ParquetWriter(target, EVENTS, compression="zstd") as writer:
        for batch in batches:
            users, items, times = batch.columns[:3]
            seconds = pc.if_else(
                pc.match_substring_regex(times, WHOLE_NUMBER), times, pa.scalar(None, pa.string())
            )
            kept = pc.and_(pc.is_valid(users), pc.and_(pc.is_valid(items), pc.is_valid(seconds)))
            if event_types:
                kept = pc.and_(kept, pc.is_in(batch.columns[3], pa.array(event_types)))
            arrays = [users, items, seconds.cast(pa.int64())]
            chosen = pa.RecordBatch.from_arrays(arrays, schema=EVENTS).filter(kept)
            writer.write_batch(chosen)
            written += chosen.num_rows
    return written


def read_history(
    connection: duckdb.DuckDBPyConnection,
    events: Path,
    audience: Path,
    catalogue: Catalogue,
    policy: Recommendations,
    moment: datetime,
    parts: int,
    folder: Path,
) -> History:
    """Prepare what the policy needs from a file of events (``EVENTS``) before ``moment``.

    Only items of the catalogue count, whoever bought them.
    """
    compact = _compact(connection, events, catalogue, folder)
    fallback_since = _since(moment, policy.fallback_days)
    connection.read_parquet(str(compact)).filter(f"timestamp >= {fallback_since}").create_view("recent")
    connection.read_parquet(str(audience)).create_view("audience")
    days = policy.rules.not_bought_in_days
    segments, in_segment = _popular_in_segment(connection, policy)
    history = History(
        Partitions(connection, folder / "purchases", PURCHASES, parts),
        None if days is None else _since(moment, days),
        fallback_since,
        _popular(connection, policy),
        segments,
        in_segment,
        _similar(connection, len(catalogue), policy),
    )
    with history.purchases as purchases:
        for batch in pq.ParquetFile(compact).iter_batches(columns=PURCHASES.names):
            purchases.add(batch.cast(PURCHASES))
    return history


def _compact(connection: duckdb.DuckDBPyConnection, events: Path, catalogue: Catalogue, folder: Path) -> Path:
    """Write each pair of user and item once, with the last time; items as positions."""
    positions = np.arange(len(catalogue), dtype=np.int32)
    stocked = np.ones(len(catalogue), np.bool_) if catalogue.in_stock is None else catalogue.in_stock
    known = pa.table(
        {"item_id": catalogue.item_ids, "item": pa.array(positions), "in_stock": pa.array(stocked)}
    )
    compact = folder / "purchases.parquet"
    connection.read_parquet(str(events)).join(connection.from_arrow(known), "item_id").aggregate(
        "user_id, item, max(timestamp) AS timestamp, any_value(in_stock) AS in_stock", "user_id, item"
    ).write_parquet(str(compact), compression="zstd")
    return compact


def _since(moment: datetime, days: int) -> int:
    return int((moment - timedelta(days=days)).timestamp())


def _popular(connection: duckdb.DuckDBPyConnection, policy: Recommendations) -> NDArray[np.int32]:
    if "popular" not in policy.fallback:
        return np.empty(0, np.int32)
    rows = connection.execute(
        "SELECT item FROM recent WHERE in_stock GROUP BY item ORDER BY count(*) DESC, item LIMIT ?",
        [_POPULAR_ITEMS],
    )
    return np.asarray(rows.fetchnumpy()["item"], np.int32)


def _popular_in_segment(
    connection: duckdb.DuckDBPyConnection, policy: Recommendations
) -> tuple[pa.StringArray, Lists]:
    if "popular_in_segment" not in policy.fallback:
        return pa.array([], pa.string()), np.empty((0, 0), np.int32)
    rows = connection.execute(
        """
        SELECT segment, item, row_number() OVER (PARTITION BY segment ORDER BY count(*) DESC, item) - 1 AS place
        FROM recent JOIN (SELECT DISTINCT user_id, segment FROM audience) USING (user_id)
        WHERE in_stock AND segment IS NOT NULL
        GROUP BY segment, item
        QUALIFY place < ?
        """,
        [_POPULAR_ITEMS],
    ).fetchnumpy()
    named = pa.array(rows["segment"], pa.string()).dictionary_encode()
    places = np.asarray(rows["place"], np.int64)
    lists = np.full((len(named.dictionary), int(places.max(initial=-1)) + 1), -1, np.int32)
    lists[named.indices.to_numpy(), places] = rows["item"]
    return named.dictionary, lists


def _similar(connection: duckdb.DuckDBPyConnection, items: int, policy: Recommendations) -> Similar | None:
    if "similar" not in policy.fallback:
        return None
    users = connection.execute("SELECT count(DISTINCT user_id) AS users FROM recent").fetchnumpy()["users"]
    rows = connection.execute(
        """
        WITH lately AS (
            SELECT user_id, item, in_stock
            FROM recent
            WHERE hash(user_id) % $share = 0
            QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY timestamp DESC, item) <= $items_per_user
        )
        SELECT seed, item, weight FROM (
            SELECT a.item AS seed, b.item AS item, count(*) AS weight
            FROM lately a JOIN lately b ON a.user_id = b.user_id AND a.item <> b.item
            WHERE b.in_stock
            GROUP BY a.item, b.item
        )
        QUALIFY row_number() OVER (PARTITION BY seed ORDER BY weight DESC, item) <= $per_item
        ORDER BY seed, weight DESC, item
        """,
        {
            # A share of very many users says as much about items as all of them.
            "share": max(1, -(-int(np.asarray(users)[0]) // _PAIRED_USERS)),
            "items_per_user": _PAIRED_ITEMS_PER_USER,
            "per_item": _SIMILAR_PER_ITEM,
        },
    ).fetchnumpy()
    starts = np.zeros(items + 1, np.int64)
    np.cumsum(np.bincount(rows["seed"], minlength=items), out=starts[1:])
    return Similar(starts, np.asarray(rows["item"], np.int32), np.asarray(rows["weight"], np.int64))
