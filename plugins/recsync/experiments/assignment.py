"""Decide who is in which arm: stable hashes, buckets of a layer, and shares within strata.

A layer has 10,000 buckets, and a person's bucket is a hash of the layer's name and the ``user_id``: the same in every
process, run and version. Each bucket belongs to at most one arm of one experiment, so experiments of a layer share no
person. A hash of the experiment's name selects the buckets of each arm. Arms of successive experiments in a layer
correlate by chance only, about 1 / sqrt(10,000); arms in different layers are independent for each person.

Within strata (``experiment.stratify_by``), people are counted and assigned in DuckDB tables. A person keeps their arm
and their first stratum; only changed shares move people, and as few as possible.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsync.storage.hashes import Hashes, mixed, string_hashes

BUCKETS = 10_000
OUTSIDE = ""
"""The arm of people outside the experiment."""

Buckets = NDArray[np.int32]
"""Sorted numbers of buckets."""
Counts = NDArray[np.int64]


def salted_hashes(salt: str, ids: pa.Array) -> Hashes:
    """Hash ids with a salt; the hashes of two salts are independent. The function must never change."""
    key = np.uint64(_digest(salt))
    return mixed(mixed(string_hashes(ids) ^ key) + key)


def person_buckets(layer: str, user_ids: pa.Array) -> Buckets:
    """Return the bucket of each person in a layer."""
    # Multiply and shift instead of a remainder: as even, and it uses the higher bits.
    high = salted_hashes(layer, user_ids) >> np.uint64(32)
    return ((high * np.uint64(BUCKETS)) >> np.uint64(32)).astype(np.int32)


def bucket_counts(shares: Mapping[str, float]) -> dict[str, int]:
    """Return how many buckets each arm gets: shares rounded to whole buckets by largest remainder.

    The sum is rounded down, so that experiments with shares of 1 in total fit in a layer.
    """
    total = int(round(sum(shares.values()), 9) * BUCKETS + 1e-6)
    exact = {arm: share * BUCKETS for arm, share in shares.items()}
    counts = {arm: int(each + 1e-6) for arm, each in exact.items()}
    by_remainder = sorted(exact, key=lambda arm: counts[arm] - exact[arm])
    for arm in by_remainder[: max(total - sum(counts.values()), 0)]:
        counts[arm] += 1
    return counts


@dataclass(frozen=True)
class Allocation:
    """The buckets of each arm of one experiment.

    :param changed: how many buckets changed their arm, joined an arm or left one.
    """

    arms: Mapping[str, Buckets]
    changed: int = 0

    @property
    def claimed(self) -> Buckets:
        """All buckets of the experiment."""
        return np.sort(np.concatenate([np.empty(0, np.int32), *self.arms.values()]))

    def table(self, names: Iterable[str]) -> NDArray[np.int16]:
        """Return the position of each bucket's arm in ``names``; -1 for other buckets."""
        table = np.full(BUCKETS, -1, np.int16)
        for position, name in enumerate(names):
            table[self.arms.get(name, np.empty(0, np.int32))] = position
        return table


def allocate(experiment: str, wanted: Mapping[str, int], current: Allocation, free: Buckets) -> Allocation:
    """Give each arm its number of buckets, and move as few buckets as possible.

    Arms with too many buckets release some. Arms with too few take released buckets first, then free ones.

    :param experiment: its name is hashed to select the buckets to release and to take.
    :param free: buckets of no experiment.
    :raises ValueError: when there are too few free buckets.
    """
    drawn = _drawn(experiment)
    kept, given = {}, []
    for arm, buckets in current.arms.items():
        ordered = buckets[np.argsort(drawn[buckets])]
        keep = wanted.get(arm, 0)
        kept[arm], gone = ordered[:keep], ordered[keep:]
        given.append(gone)
    released = np.concatenate([np.empty(0, np.int32), *given])
    spare = np.concatenate(
        [released[np.argsort(drawn[released])], free[np.argsort(drawn[free])]]
    )  # released ones first
    lacking = {arm: count - len(kept.get(arm, ())) for arm, count in wanted.items()}
    needed = sum(lacking.values())
    if needed > len(spare):
        raise ValueError(f"{needed:,} buckets are needed, and {len(spare):,} are free")
    arms, place = {}, 0
    for arm, count in lacking.items():
        arms[arm] = np.sort(np.concatenate([kept.get(arm, spare[:0]), spare[place : place + count]]))
        place += count
    return Allocation(arms, changed=max(len(released), needed))


def free_buckets(taken: Iterable[Buckets]) -> Buckets:
    """Return the buckets of a layer that are in none of the given ones."""
    free = np.ones(BUCKETS, np.bool_)
    for buckets in taken:
        free[buckets] = False
    return np.flatnonzero(free).astype(np.int32)


def assigned_counts(
    counts: Counts,
    pool: Counts,
    shares: NDArray[np.float64],
    offsets: NDArray[np.float64],
) -> Counts:
    """Assign the people of a pool to arms, so that the shares hold within each stratum.

    :param counts: people who already are in each arm (column) and stay, by stratum (row).
    :param pool: people to assign, by stratum.
    :param shares: of the arms; they need not sum to 1.
    :param offsets: rounding offset of each stratum, uniform between 0 and 1. With a common offset, every stratum of one
        person would be in the largest arm.
    :returns: how many of the pool each arm gets, in the shape of ``counts``.
    """
    lacking = np.maximum(target_counts(counts.sum(axis=1) + pool, shares, offsets) - counts, 0)
    # This exceeds the pool where another arm has too many people.
    return _rounded(pool, lacking / np.maximum(lacking.sum(axis=1, keepdims=True), 1), offsets)


def target_counts(people: Counts, shares: NDArray[np.float64], offsets: NDArray[np.float64]) -> Counts:
    """Return how many people each arm should have, by stratum; see :func:`assigned_counts`."""
    return _rounded(people, np.broadcast_to(shares / shares.sum(), (len(people), len(shares))), offsets)


def surplus(counts: Counts, people: Counts, shares: NDArray[np.float64]) -> Counts:
    """Return how many people each arm has above its share (rounded up), by stratum.

    :param counts: people of each stratum (row) in each arm (column).
    :param people: of each stratum, also those who have no arm.
    """
    share = np.ceil(people[:, None] * (shares / shares.sum()) - 1e-9).astype(np.int64)
    more: Counts = np.maximum(counts - share, 0)
    return more


def stratum_offsets(experiment: str, strata: pa.Array) -> NDArray[np.float64]:
    """Return the offset of each stratum for :func:`assigned_counts`."""
    return (salted_hashes(f"{experiment}/strata", strata) >> np.uint64(11)) / np.float64(1 << 53)


def _rounded(people: Counts, shares: NDArray[np.float64], offsets: NDArray[np.float64]) -> Counts:
    """Split people by shares into whole numbers of the same sum, each less than 1 from the exact number."""
    ends = np.floor(people[:, None] * shares.cumsum(axis=1) + offsets[:, None]).astype(np.int64)
    ends[:, -1] = people
    ends = np.minimum(ends, people[:, None])
    parts: Counts = np.diff(ends, axis=1, prepend=0)
    return parts


def _drawn(experiment: str) -> Hashes:
    """Return the experiment's sort key of each bucket."""
    key = np.uint64(_digest(experiment))
    return mixed(mixed(np.arange(BUCKETS, dtype=np.uint64) ^ key) + key)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def format_buckets(buckets: Buckets) -> str:
    """Write buckets for a document: ``0-41 44 50-52``."""
    if not len(buckets):
        return ""
    breaks = np.flatnonzero(np.diff(buckets) != 1)
    firsts, lasts = buckets[np.r_[0, breaks + 1]], buckets[np.r_[breaks, len(buckets) - 1]]
    pairs = zip(firsts.tolist(), lasts.tolist(), strict=True)
    return " ".join(f"{first}-{last}" if first < last else f"{first}" for first, last in pairs)


def parse_buckets(text: Any) -> Buckets:
    """Read what :func:`format_buckets` wrote.

    :raises ValueError: when it is something else.
    """
    parts = [part.partition("-") for part in str(text).split()]
    ranges = [range(int(first), int(last if dash else first) + 1) for first, dash, last in parts]
    buckets = np.array([bucket for each in ranges for bucket in each], np.int32)
    if len(buckets) and (
        buckets.min() < 0 or buckets.max() >= BUCKETS or len(np.unique(buckets)) < len(buckets)
    ):
        raise ValueError("no such buckets")
    return np.sort(buckets)


def assign_within_strata(
    connection: duckdb.DuckDBPyConnection, experiment: str, shares: Mapping[str, float], *, rebalance: bool
) -> None:
    """Create the table ``assigned``: everybody of ``hashed`` with stratum and arm.

    It reads ``hashed`` (user_id, external_id, stratum, draw, arm: null for people to assign) and ``present`` (user_id,
    arm, stratum: the current arms). People of ``present`` outside this audience keep their arms, and count for shares.

    :param shares: by arm; the empty name is for people without an arm.
    :param rebalance: whether the shares changed since the last assignment.
    """
    connection.execute("CREATE TABLE arms (arm VARCHAR, place INTEGER)")
    connection.executemany("INSERT INTO arms VALUES (?, ?)", [[arm, n] for n, arm in enumerate(shares)])
    # People of an arm that the experiment no longer has are assigned again.
    connection.execute(
        "CREATE TABLE inside AS SELECT h.user_id, h.external_id, coalesce(p.stratum, h.stratum) AS stratum, h.draw, "
        "a.place FROM hashed h LEFT JOIN present p USING (user_id) LEFT JOIN arms a ON a.arm = p.arm "
        "WHERE h.arm IS NULL"
    )
    here = "SELECT stratum, place, count(*) AS people FROM inside GROUP BY ALL"
    away = "SELECT p.stratum, a.place FROM present p ANTI JOIN hashed h USING (user_id) LEFT JOIN arms a USING (arm)"
    found = connection.sql("SELECT DISTINCT stratum FROM inside ORDER BY 1").to_arrow_table()["stratum"]
    strata = found.combine_chunks().cast(pa.string())
    in_audience, pool = _by_stratum(connection, here, strata, len(shares))
    # "gone": people of removed arms outside this audience; they are assigned when they come back.
    elsewhere, gone = _by_stratum(
        connection,
        f"SELECT stratum, place, count(*) AS people FROM ({away}) GROUP BY ALL",
        strata,
        len(shares),
    )
    counts, exact = in_audience + elsewhere, np.array(list(shares.values()))
    offsets = stratum_offsets(experiment, strata)
    leaving = np.zeros_like(counts)
    if rebalance:
        leaving = np.minimum(surplus(counts, counts.sum(axis=1) + pool + gone, exact), in_audience)
    dealt = assigned_counts(counts - leaving, pool + leaving.sum(axis=1), exact, offsets)
    _register(connection, "leaving", strata, np.zeros_like(leaving), leaving)
    _register(connection, "dealt", strata, dealt.cumsum(axis=1) - dealt, dealt.cumsum(axis=1))
    # A hash decides who leaves and who gets which arm, so the row order of the warehouse does not matter.
    connection.execute(
        "CREATE TABLE kept AS SELECT i.* EXCLUDE (place, drawn), "
        "CASE WHEN i.drawn > l.last THEN i.place END AS place FROM (SELECT *, row_number() OVER "
        "(PARTITION BY stratum, place ORDER BY draw, user_id) AS drawn FROM inside) i "
        "LEFT JOIN leaving l ON l.stratum = i.stratum AND l.place = i.place"
    )
    connection.execute(
        "CREATE TABLE assigned AS SELECT user_id, external_id, stratum, arm FROM ("
        "SELECT user_id, external_id, stratum, place FROM kept WHERE place IS NOT NULL UNION ALL "
        "SELECT k.user_id, k.external_id, k.stratum, d.place FROM (SELECT *, row_number() OVER "
        "(PARTITION BY stratum ORDER BY draw, user_id) AS drawn FROM kept WHERE place IS NULL) k "
        "JOIN dealt d ON d.stratum = k.stratum AND k.drawn > d.first AND k.drawn <= d.last) JOIN arms USING (place) "
        "UNION ALL SELECT user_id, external_id, NULL, arm FROM hashed WHERE arm IS NOT NULL"
    )


def _by_stratum(
    connection: duckdb.DuckDBPyConnection, query: str, strata: pa.Array, arms: int
) -> tuple[Counts, Counts]:
    """Return the people of a query (stratum, place, people) by stratum and arm, and those without an arm."""
    table = connection.sql(
        f"SELECT stratum, coalesce(place, {arms}) AS place, people FROM ({query})"
    ).to_arrow_table()
    rows = pc.index_in(table["stratum"].combine_chunks().cast(pa.string()), value_set=strata)
    known = rows.is_valid().to_numpy(zero_copy_only=False)
    counts = np.zeros((len(strata), arms + 1), np.int64)
    places, people = table["place"].to_numpy()[known], table["people"].to_numpy()[known]
    counts[rows.drop_null().to_numpy(), places] = people
    return counts[:, :arms], counts[:, arms]


def _register(
    connection: duckdb.DuckDBPyConnection, name: str, strata: pa.Array, firsts: Counts, lasts: Counts
) -> None:
    """Create a table of row-number ranges (``first``, ``last``] by stratum and arm."""
    arms = firsts.shape[1]
    table = pa.table(
        {
            "stratum": strata.take(pa.array(np.repeat(np.arange(len(strata)), arms))),
            "place": pa.array(np.tile(np.arange(arms), len(strata)), pa.int32()),
            "first": firsts.ravel(),
            "last": lasts.ravel(),
        }
    )
    connection.register("given", table)
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM given")
    connection.unregister("given")
