"""How the lines of an output become people's lists, when they are not about people: joined by partition of people.

Related items: each line is about an item, and a person's list merges those of the person's seeds by rank. Trending
items: one line for everybody. Segments stand in ``segments.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsync.errors import FatalError
from recsync.recommend.lists.batch_output import ITEM
from recsync.recommend.lists.catalogue import Catalogue
from recsync.recommend.lists.dedupe import first_lines
from recsync.recommend.lists.output_staging import NOBODY, SPOOLED, Source, Spool, spool_output
from recsync.recommend.lists.partitions import Partitions, Parts
from recsync.recommend.lists.rules import Lists, pack, ragged, repeated

SEEDS = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("place", pa.int32())])
"""The items that somebody's list is made from, ``place`` 0 for the first."""
ASKED = pa.schema([("user_id", pa.string())])
_SEEDED = pa.schema([("user_id", pa.string()), ("line", pa.int32()), ("place", pa.int32())])

_BATCH_ROWS = 65_536
# Entries of lists merged at a time; bounds the memory at some 30 bytes each.
_MERGED_ENTRIES = 1_000_000
# Stands for an item that the catalogue does not hold, while lists are merged; no catalogue is as long.
_UNKNOWN = 2**31 - 1


@dataclass(frozen=True)
class Joining:
    """What a join works with.

    :param people: the audience, split into ``parts``.
    :param folder: an existing folder for what does not fit into memory.
    """

    connection: duckdb.DuckDBPyConnection
    catalogue: Catalogue
    people: Parts
    parts: int
    folder: Path

    def partitions(self, name: str, schema: pa.Schema) -> Partitions:
        """Make partitions of the same users as those of ``people``."""
        return Partitions(self.connection, self.folder / name, schema, self.parts)


class Join(Protocol):
    """Turns the lines of an output into lines of people."""

    def __call__(self, outputs: Iterable[Source], joining: Joining, /) -> Spool:
        """Read every object once, in order."""


def by_user(outputs: Iterable[Source], joining: Joining) -> Spool:
    """Take each line for its user's list; the job was asked about everybody."""
    return spool_output(outputs, joining.catalogue, joining.partitions("output", SPOOLED))


def by_some_users(asked: Path) -> Join:
    """Take each line for its user's list.

    :param asked: Parquet file of ``ASKED``: whom the job was asked about.
    """

    def join(outputs: Iterable[Source], joining: Joining) -> Spool:
        spool = by_user(outputs, joining)
        users = joining.partitions("asked", ASKED)
        with users:
            for batch in pq.ParquetFile(asked).iter_batches(_BATCH_ROWS, columns=ASKED.names):
                users.add(batch.cast(ASKED))
        spool.asked = users
        return spool

    return join


def by_seed(seeds: Path) -> Join:
    """Give each user the lists of the user's seeds, merged by rank.

    :param seeds: Parquet file of ``SEEDS``, sorted by user and place.
    """

    def join(outputs: Iterable[Source], joining: Joining) -> Spool:
        spool = _spool_items(outputs, joining)
        lines = _each_once(spool.lines.read(0).combine_chunks())
        seeded = joining.partitions("seeds", _SEEDED)
        with seeded:
            for batch in pq.ParquetFile(seeds).iter_batches(_BATCH_ROWS, columns=SEEDS.names):
                seeded.add(_numbered(batch, lines))
        spool.lines, spool.asked = _SeededLines(seeded, lines), NOBODY
        return spool

    return join


def for_everybody(outputs: Iterable[Source], joining: Joining) -> Spool:
    """Give everybody the list of the only line."""
    spool = _spool_items(outputs, joining)
    spool.lines = _EverybodysLine(joining.people, _each_once(spool.lines.read(0).combine_chunks()))
    return spool


def _spool_items(outputs: Iterable[Source], joining: Joining) -> Spool:
    """Read lines about items into one partition, which is then mapped into memory rather than held."""
    lines = Partitions(joining.connection, joining.folder / "output", SPOOLED, 1)
    return spool_output(outputs, joining.catalogue, lines, key=ITEM)


def _each_once(lines: pa.Table) -> pa.Table:
    """Leave one line of each item, as ``first_lines`` picks them.

    :raises FatalError: when two lists of one item differ.
    """
    known = pc.unique(lines["user_id"]).cast(pa.string())
    if len(known) == lines.num_rows:
        return lines
    found = first_lines(lines, known)
    if found.conflicts:
        raise FatalError(
            f"{found.conflicts} items have two different lists in the batch output, and nothing says which one counts. "
            "Give the output of one job only."
        )
    return spooled(known, found.lengths, found.items[ragged(found.starts, found.lengths)], found.failed)


def _numbered(seeds: pa.RecordBatch, lines: pa.Table) -> pa.RecordBatch:
    """Look up the line of each seed; -1 stands for none."""
    known = lines["user_id"].combine_chunks() if lines.num_rows else pa.array([], pa.string())
    found = pc.index_in(seeds["item_id"].cast(pa.string()), value_set=known).fill_null(-1)
    columns = [seeds["user_id"].cast(pa.string()), found, seeds["place"].cast(pa.int32())]
    return pa.RecordBatch.from_arrays(columns, schema=_SEEDED)


@dataclass(frozen=True)
class _SeededLines:
    seeded: Partitions
    lines: pa.Table

    def read(self, part: int) -> pa.Table:
        """Merge the lists of one partition of users."""
        seeds = self.seeded.read(part).combine_chunks()
        if not seeds.num_rows:
            return SPOOLED.empty_table()
        named = seeds["user_id"].chunk(0).dictionary_encode()
        owners = named.indices.to_numpy().astype(np.int64)
        line = seeds["line"].to_numpy()
        people, known = len(named.dictionary), line >= 0
        if not known.any():
            nothing = np.zeros(people, np.int64)
            return spooled(named.dictionary, nothing, np.empty(0, np.int32), np.ones(people, np.bool_))
        items = self.lines["items"].chunk(0)
        sizes, merged = merge_by_rank(
            owners[known], line[known], people, items.offsets.to_numpy(), items.values.to_numpy()
        )
        unanswered = ~known | self.lines["failed"].chunk(0).to_numpy(zero_copy_only=False)[line]
        return spooled(named.dictionary, sizes, merged, np.bincount(owners, unanswered, people) > 0)


@dataclass(frozen=True)
class _EverybodysLine:
    people: Parts
    line: pa.Table

    def read(self, part: int) -> pa.Table:
        """Repeat the line for each user of one partition."""
        users = pc.unique(self.people.read(part)["user_id"]).cast(pa.string())
        if not self.line.num_rows:
            return SPOOLED.empty_table()
        same = pa.array(np.zeros(len(users), np.int64))
        columns = [users, *(self.line[name].chunk(0).take(same) for name in SPOOLED.names[1:])]
        return pa.Table.from_arrays(columns, schema=SPOOLED)


def merge_by_rank(
    owners: NDArray[np.int64],
    lines: NDArray[np.int32],
    people: int,
    offsets: NDArray[np.int32],
    values: NDArray[np.int32],
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Merge lists: the first items of all of an owner's lists, then the second ones; each item once.

    A merged list is as long as the longest of all lists: more seeds bring more of the best ranks, not a longer list.
    Of the ranks of an owner's lists so many are looked at as give twice that length, which leaves room for repeats.

    :param owners: of each seed, a number below ``people``, ascending; ``lines``: its list.
    :param offsets: where each list begins in ``values``; one more than there are lists.
    :returns: how many items each owner has, and the items, owner by owner.
    """
    lengths = np.diff(offsets)
    longest = int(lengths.max(initial=0))
    # A failed line has no items, and must not take the ranks of the others.
    held_lines = lengths[lines] > 0
    owners, lines = owners[held_lines], lines[held_lines]
    counts = np.bincount(owners, minlength=people)
    starts = np.cumsum(counts) - counts
    sizes, found = np.zeros(people, np.int64), []
    for count in np.unique(counts[counts > 0]).tolist():
        ranks = min(longest, -(-2 * longest // count))
        alike = np.flatnonzero(counts == count)
        at_once = max(1, _MERGED_ENTRIES // max(1, ranks * count))
        for begin in range(0, len(alike), at_once):
            who = alike[begin : begin + at_once]
            chosen = lines[starts[who][:, None] + np.arange(count)]
            held = _interleaved(offsets[chosen], lengths[chosen], values, ranks)
            packed, sizes[who] = pack(held, longest)
            found.append((who, packed[packed >= 0]))
    return sizes, _by_owner(sizes, found)


def _interleaved(
    starts: NDArray[np.int32], lengths: NDArray[np.int32], values: NDArray[np.int32], ranks: int
) -> Lists:
    """Give each owner's lists rank by rank, repeats emptied; an unknown item stands for one more item."""
    rank = np.arange(ranks, dtype=np.int32)[None, :, None]
    inside = rank < lengths[:, None, :]
    places = np.where(inside, starts[:, None, :] + rank, 0)
    taken = values[places] if len(values) else np.zeros(places.shape, np.int32)
    taken = np.where(inside, np.where(taken < 0, _UNKNOWN, taken), -1)
    rows: Lists = taken.reshape(len(starts), -1)
    rows[repeated(rows, 1)] = -1
    return rows


def _by_owner(
    sizes: NDArray[np.int64], found: list[tuple[NDArray[np.int64], NDArray[np.int32]]]
) -> NDArray[np.int32]:
    """Bring entries, which stand group by group, into the order of their owners."""
    ends = np.cumsum(sizes)
    items = np.empty(int(ends[-1]) if len(ends) else 0, np.int32)
    for who, entries in found:
        items[ragged(ends[who] - sizes[who], sizes[who])] = entries
    items[items == _UNKNOWN] = -1
    return items


def spooled(
    users: pa.Array, sizes: NDArray[np.int64], items: NDArray[np.int32], failed: NDArray[np.bool_]
) -> pa.Table:
    """Make a table of ``SPOOLED``.

    :param users: each once; ``sizes``: how many of ``items`` each one has.
    :param failed: whether something that was asked for the user has no answer; what has one gives the items.
    """
    offsets = np.zeros(len(users) + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(items))
    return pa.Table.from_arrays([users.cast(pa.string()), lists, pa.array(failed)], schema=SPOOLED)
