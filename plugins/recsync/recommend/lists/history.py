"""Recent purchases of the users and lists published to them, and the items that are bought together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsync.program import Recommendations
from recsync.recommend.lists.catalog import ItemCatalog
from recsync.recommend.lists.rules import Lists, ragged
from recsync.storage.duck import quoted_path
from recsync.warehouse.values import WHOLE_NUMBER

PURCHASES = pa.schema([("user_id", pa.string()), ("item", pa.int32()), ("timestamp", pa.int64())])
"""Interactions with items of the catalog, ``timestamp`` in Unix seconds; a user may have several with one item."""
PAST_LISTS = pa.schema([("user_id", pa.string()), ("items", pa.list_(pa.int32()))])
"""One published list: ``items`` are positions in today's catalog, -1 for one that is not in it any more."""

_BATCH_ROWS = 65_536
_NO_ITEMS = np.empty(0, np.int32)
# Candidates taken from one popularity ranking; no list needs more.
_POPULAR_ITEMS = 1_000
# Bounds of the co-occurrence count: pairs grow with the square of a history.
_PAIRED_USERS = 200_000
_PAIRED_ITEMS_PER_USER = 20
_SIMILAR_PER_ITEM = 30
# Last purchases of a user that candidates are looked up for.
SEEDS = 5
# Candidates kept per person.
CANDIDATES = 100
# People ranked at a time; bounds the memory at PEOPLE * SEEDS * candidates per item.
_PEOPLE = 10_000


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
    """What rules and fallback use of all purchases; unused parts are None or empty.

    :param bought_since: Unix seconds; items bought later are dropped from lists.
    :param fallback_since: Unix seconds; later purchases feed the fallback.
    :param pools: by member of ``Rules``, the items for its share of a list, what most people bought first.
    """

    bought_since: int | None
    fallback_since: int
    popular: NDArray[np.int32]
    segments: pa.StringArray
    popular_in_segment: Lists
    similar: Similar | None
    pools: Mapping[str, NDArray[np.int32]]

    def save(self, target: Path) -> None:
        """Write a file of numpy arrays, for tasks that build lists elsewhere."""
        times = {"bought_since": self.bought_since, "fallback_since": self.fallback_since}
        texts = json.dumps({**times, "segments": self.segments.to_pylist(), "pools": [*self.pools]})
        similar = self.similar
        of_similar = vars(similar) if similar else {}
        arrays = {
            "texts": np.frombuffer(texts.encode(), np.uint8),
            "popular": self.popular,
            "popular_in_segment": self.popular_in_segment,
            **{f"pool-{number}": pool for number, pool in enumerate(self.pools.values())},
            **{f"similar-{name}": values for name, values in of_similar.items()},
        }
        with target.open("wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, source: Path) -> Self:
        """Read it back."""
        with np.load(source, allow_pickle=False) as arrays:
            texts = json.loads(arrays["texts"].tobytes())
            similar = {
                name.removeprefix("similar-"): arrays[name]
                for name in arrays.files
                if name.startswith("similar-")
            }
            return cls(
                texts["bought_since"],
                texts["fallback_since"],
                arrays["popular"],
                pa.array(texts["segments"], pa.string()),
                arrays["popular_in_segment"],
                Similar(**similar) if similar else None,
                {rule: arrays[f"pool-{number}"] for number, rule in enumerate(texts["pools"])},
            )


def write_purchases(
    batches: Iterable[pa.RecordBatch], target: Path, catalog: ItemCatalog, event_types: tuple[str, ...] = ()
) -> int:
    """Write the interactions with items of the catalog, without the rows that an export would quarantine.

    :param batches: texts: user id, item id, timestamp and, when ``event_types`` are given, event type.
    :param event_types: those that count; empty: all.
    :returns: the number of interactions, with those of other items.
    """
    found, waiting, rows = 0, list[pa.RecordBatch](), 0
    # Measured: lz4 without dictionaries takes a third of the time of zstd with them, and a fifth more room.
    with pq.ParquetWriter(target, PURCHASES, compression="lz4", use_dictionary=False) as writer:
        for batch in batches:
            users, items, times = batch.columns[:3]
            seconds = pc.if_else(
                pc.match_substring_regex(times, WHOLE_NUMBER), times, pa.scalar(None, pa.string())
            )
            kept = pc.and_(pc.is_valid(users), pc.and_(pc.is_valid(items), pc.is_valid(seconds)))
            if event_types:
                kept = pc.and_(kept, pc.is_in(batch.columns[3], pa.array(event_types)))
            found += kept.true_count
            positions = pa.array(catalog.positions(items))
            arrays = [users, positions, seconds.cast(pa.int64())]
            chosen = pc.and_(kept, pc.greater_equal(positions, 0))
            waiting.append(pa.RecordBatch.from_arrays(arrays, schema=PURCHASES).filter(chosen))
            rows += waiting[-1].num_rows
            # A row group each, whatever the size of the warehouse's batches.
            if rows >= _BATCH_ROWS:
                writer.write_table(pa.Table.from_batches(waiting))
                waiting, rows = [], 0
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting))
    return found


def summarise(
    connection: duckdb.DuckDBPyConnection,
    purchases: Path,
    audience: Path,
    catalog: ItemCatalog,
    policy: Recommendations,
    moment: datetime,
) -> History:
    """Prepare what the policy needs from a Parquet file of ``PURCHASES`` before ``moment``, whoever bought."""
    fallback_since = _since(moment, policy.fallback_days)
    connection.read_parquet(str(purchases)).filter(f"timestamp >= {fallback_since}").create_view("recent")
    connection.read_parquet(str(audience)).create_view("audience")
    stocked = catalog.flags.get("in_stock", np.ones(len(catalog), np.bool_))
    in_stock = pa.table({"item": pa.array(np.flatnonzero(stocked).astype(np.int32))})
    connection.register("stocked", in_stock)
    people = _people_by_item(connection, len(catalog), policy)
    days = policy.rules.not_bought_in_days
    segments, in_segment = _popular_in_segment(connection, policy)
    return History(
        None if days is None else _since(moment, days),
        fallback_since,
        _most_bought(people, stocked & (people > 0)) if "popular" in policy.fallback else _NO_ITEMS,
        segments,
        in_segment,
        _similar(connection, len(catalog), policy),
        # Items without buyers come last. An empty catalog has no flags.
        {
            rule: _most_bought(people, stocked & catalog.flags.get(rule, stocked))
            for rule in policy.rules.shares
        },
    )


def _since(moment: datetime, days: int) -> int:
    return int((moment - timedelta(days=days)).timestamp())


def _people_by_item(
    connection: duckdb.DuckDBPyConnection, items: int, policy: Recommendations
) -> NDArray[np.int64]:
    """Count the buyers of each item; zeros where the policy ranks no items by them."""
    people = np.zeros(items, np.int64)
    if "popular" in policy.fallback or policy.rules.shares:
        # Ids would take twice the memory of their hashes of 64 bits, so that DuckDB would spill them to disk sooner.
        rows = connection.execute(
            "SELECT item, count(*) AS people FROM (SELECT DISTINCT item, hash(user_id) FROM recent) GROUP BY item"
        ).fetchnumpy()
        people[rows["item"]] = rows["people"]
    return people


def _most_bought(people: NDArray[np.int64], among: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Rank items by their buyers (ties: lower position)."""
    items = np.flatnonzero(among).astype(np.int32)
    return items[np.argsort(-people[items], kind="stable")][:_POPULAR_ITEMS]


def _popular_in_segment(
    connection: duckdb.DuckDBPyConnection, policy: Recommendations
) -> tuple[pa.StringArray, Lists]:
    if "popular_in_segment" not in policy.fallback:
        return pa.array([], pa.string()), np.empty((0, 0), np.int32)
    rows = connection.execute(
        """
        SELECT segment, item, row_number() OVER (PARTITION BY segment ORDER BY count(*) DESC, item) - 1 AS place
        FROM (SELECT DISTINCT user_id, item FROM recent SEMI JOIN stocked USING (item))
        JOIN (SELECT DISTINCT user_id, segment FROM audience) USING (user_id)
        WHERE segment IS NOT NULL
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
            SELECT user_id, item
            FROM recent
            WHERE hash(user_id) % $share = 0
            GROUP BY user_id, item
            QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY max(timestamp) DESC, item) <= $items_per_user
        )
        SELECT seed, item, weight FROM (
            SELECT a.item AS seed, b.item AS item, count(*) AS weight
            FROM lately a JOIN lately b ON a.user_id = b.user_id AND a.item <> b.item
            WHERE b.item IN (FROM stocked)
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


def similar_items(
    similar: Similar, users: NDArray[np.int64], items: NDArray[np.int32], times: NDArray[np.int64], count: int
) -> tuple[Lists, Lists]:
    """Rank for each user the items most often bought together with the last ``SEEDS`` purchases.

    :param users: the user (below ``count``) of each purchase; of several of one item the last one counts.
    :returns: one row per user, best first (ties: lower position), -1 at the end of shorter rows; and the purchases.
    """
    ranked = np.full((count, CANDIDATES), -1, np.int32)
    pairs = users * (len(similar.starts) - 1) + items
    order = np.lexsort((-times, pairs))
    last_of_pairs = order[rank_in_run(pairs[order]) == 0]
    users, items, times = users[last_of_pairs], items[last_of_pairs], times[last_of_pairs]
    order = np.lexsort((items, -times, users))
    seeds_of, seeds = users[order], items[order]
    places = rank_in_run(seeds_of)
    last = places < SEEDS
    seeds_of, seeds = seeds_of[last], seeds[last]
    recent = np.full((count, SEEDS), -1, np.int32)
    recent[seeds_of, places[last]] = seeds
    cuts = np.searchsorted(seeds_of, np.arange(0, count + _PEOPLE, _PEOPLE))
    for start, end in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        if end > start:
            _rank(similar, seeds_of[start:end], seeds[start:end], ranked)
    return ranked, recent


def _rank(similar: Similar, seeds_of: NDArray[np.int64], seeds: NDArray[np.int32], ranked: Lists) -> None:
    lengths = similar.starts[seeds + 1] - similar.starts[seeds]
    places = ragged(similar.starts[seeds], lengths)
    if not len(places):
        return
    items = len(similar.starts) - 1
    pairs = np.repeat(seeds_of, lengths) * items + similar.items[places]
    order = np.argsort(pairs)
    pairs = pairs[order]
    firsts = np.flatnonzero(np.concatenate([[True], pairs[1:] != pairs[:-1]]))
    weights = np.add.reduceat(similar.weights[places[order]], firsts)
    keys = pairs[firsts]
    users, found = np.divmod(keys, items)
    order = np.lexsort((found, -weights, users))
    users, found = users[order], found[order]
    rank = rank_in_run(users)
    kept = rank < CANDIDATES
    ranked[users[kept], rank[kept]] = found[kept]


def rank_in_run(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the places of each run of equal values from 0."""
    places = np.arange(len(values))
    starts = np.ones(len(values), np.bool_)
    starts[1:] = values[1:] != values[:-1]
    ranks: NDArray[np.int64] = places - np.maximum.accumulate(np.where(starts, places, 0))
    return ranks


def write_past_lists(
    connection: duckdb.DuckDBPyConnection,
    lists: Path,
    former: pa.Table,
    audience: Path | None,
    catalog: ItemCatalog,
    target: Path,
) -> None:
    """Write the published lists of one run as ``PAST_LISTS``, those with items only.

    :param lists: Parquet file of ``list_partition.LISTS``, which names people by their id in Braze.
    :param former: the ``CATALOG`` of the run.
    :param audience: Parquet file of the run's ``AUDIENCE``; None where it was not kept: the id in Braze is then taken
        for the ``user_id``.
    :param catalog: today's.
    """
    source = f"read_parquet({quoted_path(lists)}) AS lists"
    user = "lists.external_id"
    if audience:
        source += f" JOIN read_parquet({quoted_path(audience)}) AS people USING (external_id)"
        user = "people.user_id"
    query = f"SELECT {user} AS user_id, lists.items FROM {source} WHERE len(lists.items) > 0"
    today = pa.array(catalog.positions(former["item_id"].combine_chunks()))
    with pq.ParquetWriter(target, PAST_LISTS, compression="zstd") as writer:
        for batch in connection.sql(query).to_arrow_reader(_BATCH_ROWS):
            lengths = pc.list_value_length(batch["items"]).to_numpy()
            offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
            items = pa.ListArray.from_arrays(pa.array(offsets), today.take(batch["items"].flatten()))
            users = batch["user_id"].cast(pa.string())
            writer.write_batch(pa.RecordBatch.from_arrays([users, items], schema=PAST_LISTS))
