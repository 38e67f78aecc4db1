"""Map the lines of an output to users."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsync.errors import FatalError
from recsync.recommend.lists.batch_output import ITEM
from recsync.recommend.lists.catalog import ItemCatalog
from recsync.recommend.lists.output_staging import (
    NOBODY,
    SCORED,
    STAGED,
    Source,
    StagedOutput,
    dedupe_lines,
    stage_output,
)
from recsync.recommend.lists.partitions import Partitions, Parts, rows_of
from recsync.recommend.lists.rules import Lists, compact, ragged, repeated

SEEDS = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("place", pa.int32())])
"""The items that somebody's list is made from, ``place`` 0 for the first."""
ASKED = pa.schema([("user_id", pa.string())])
_SEEDED = pa.schema([("user_id", pa.string()), ("line", pa.int32()), ("place", pa.int32())])

_BATCH_ROWS = 65_536
# Entries of lists merged at a time; bounds the memory at some 30 bytes each.
_MERGED_ENTRIES = 1_000_000
# Position of an unknown item while lists are merged; above any real one.
_UNKNOWN = 2**31 - 1


@dataclass(frozen=True)
class MappingContext:
    """The inputs of a mapping beside the output.

    :param people: the audience, split into ``parts``.
    :param folder: an existing folder for staged data.
    :param with_scores: whether to read the scores, where a list comes from one line.
    :param inside: the partitions whose lists are built; None: all.
    """

    catalog: ItemCatalog
    people: Parts
    parts: int
    folder: Path
    with_scores: bool = False
    inside: range | None = None

    @property
    def lines_schema(self) -> pa.Schema:
        """Return the schema of lines about users."""
        return SCORED if self.with_scores else STAGED

    def partitions(self, name: str, schema: pa.Schema) -> Partitions:
        """Make partitions of the same users as those of ``people``."""
        return Partitions(self.folder / name, schema, self.parts, self.inside)


class OutputMapping(Protocol):
    """Turns the lines of an output into lines of people."""

    def __call__(self, outputs: Iterable[Source], mapping: MappingContext, /) -> StagedOutput:
        """Read every object once, in order."""


def by_user(outputs: Iterable[Source], mapping: MappingContext) -> StagedOutput:
    """Give each line to its user; the job was asked about every user."""
    return stage_output(outputs, mapping.catalog, mapping.partitions("output", mapping.lines_schema))


def by_staged_lines(lines: Parts, asked: Path | None = None) -> OutputMapping:
    """Give each line to its user, where other tasks have read and split the output.

    :param asked: Parquet file of ``ASKED``: whom the job was asked about; None: about every user.
    """

    def map_lines(outputs: Iterable[Source], mapping: MappingContext) -> StagedOutput:
        named = mapping.partitions("asked", ASKED).fill(rows_of([asked])) if asked else None
        return StagedOutput(lines, named)

    return map_lines


def by_some_users(asked: Path) -> OutputMapping:
    """Give each line to its user.

    :param asked: Parquet file of ``ASKED``: whom the job was asked about.
    """

    def map_lines(outputs: Iterable[Source], mapping: MappingContext) -> StagedOutput:
        staged = by_user(outputs, mapping)
        staged.asked = mapping.partitions("asked", ASKED).fill(rows_of([asked]))
        return staged

    return map_lines


def by_seed(seeds: Path) -> OutputMapping:
    """Give each user the lists of the user's seeds, merged by rank.

    :param seeds: Parquet file of ``SEEDS``, sorted by user and place.
    """

    def map_lines(outputs: Iterable[Source], mapping: MappingContext) -> StagedOutput:
        staged = _stage_items(outputs, mapping, STAGED)
        lines = _each_once(staged.lines.read(0).combine_chunks())
        seeded = mapping.partitions("seeds", _SEEDED)
        with seeded:
            for batch in pq.ParquetFile(seeds).iter_batches(_BATCH_ROWS, columns=SEEDS.names):
                seeded.add(_numbered(batch, lines))
        staged.lines, staged.asked = _SeededLines(seeded, lines), NOBODY
        return staged

    return map_lines


def for_everybody(outputs: Iterable[Source], mapping: MappingContext) -> StagedOutput:
    """Give the only line to every user."""
    staged = _stage_items(outputs, mapping, mapping.lines_schema)
    staged.lines = _EverybodysLine(mapping.people, _each_once(staged.lines.read(0).combine_chunks()))
    return staged


def _stage_items(outputs: Iterable[Source], mapping: MappingContext, schema: pa.Schema) -> StagedOutput:
    """Stage lines about items in one partition, which is memory-mapped."""
    lines = Partitions(mapping.folder / "output", schema, 1)
    return stage_output(outputs, mapping.catalog, lines, key=ITEM)


def _each_once(lines: pa.Table) -> pa.Table:
    """Keep one line per item, as ``dedupe_lines`` picks them.

    :raises FatalError: when two lists of one item differ.
    """
    known = pc.unique(lines["user_id"]).cast(pa.string())
    if len(known) == lines.num_rows:
        return lines
    found = dedupe_lines(lines, known)
    if found.conflicts:
        raise FatalError(
            f"{found.conflicts} items have two different lists in the batch output, and nothing says which one counts. "
            "Give the output of one job only."
        )
    places = ragged(found.starts, found.lengths)
    scores = None if found.scores is None else found.scores[places]
    return staged_lines(known, found.lengths, found.items[places], found.failed, scores)


def _numbered(seeds: pa.RecordBatch, lines: pa.Table) -> pa.RecordBatch:
    """Look up the line of each seed; -1 without one."""
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
            return STAGED.empty_table()
        named = seeds["user_id"].chunk(0).dictionary_encode()
        owners = named.indices.to_numpy().astype(np.int64)
        line = seeds["line"].to_numpy()
        people, known = len(named.dictionary), line >= 0
        if not known.any():
            nothing = np.zeros(people, np.int64)
            return staged_lines(named.dictionary, nothing, np.empty(0, np.int32), np.ones(people, np.bool_))
        items = self.lines["items"].chunk(0)
        sizes, merged = merge_by_rank(
            owners[known], line[known], people, items.offsets.to_numpy(), items.values.to_numpy()
        )
        unanswered = ~known | self.lines["failed"].chunk(0).to_numpy(zero_copy_only=False)[line]
        return staged_lines(named.dictionary, sizes, merged, np.bincount(owners, unanswered, people) > 0)


@dataclass(frozen=True)
class _EverybodysLine:
    people: Parts
    line: pa.Table

    def read(self, part: int) -> pa.Table:
        """Repeat the line for each user of one partition."""
        users = pc.unique(self.people.read(part)["user_id"]).cast(pa.string())
        if not self.line.num_rows:
            return STAGED.empty_table()
        same = pa.array(np.zeros(len(users), np.int64))
        columns = [users, *(self.line[name].chunk(0).take(same) for name in self.line.column_names[1:])]
        return pa.Table.from_arrays(columns, schema=self.line.schema)


def merge_by_rank(
    owners: NDArray[np.int64],
    lines: NDArray[np.int32],
    people: int,
    offsets: NDArray[np.int32],
    values: NDArray[np.int32],
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Merge an owner's lists rank by rank: the first item of each list, then the second ones; each item once.

    A merged list is at most as long as the longest list. The ranks read give twice that length, to allow for repeats.

    :param owners: of each seed, a number below ``people``, ascending; ``lines``: its list.
    :param offsets: where each list begins in ``values``; one more than there are lists.
    :returns: the number of items by owner, and the items in the order of the owners.
    """
    lengths = np.diff(offsets)
    longest = int(lengths.max(initial=0))
    # A failed line has no items, and must not reduce the ranks read of the others.
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
            packed, sizes[who] = compact(held, longest)
            found.append((who, packed[packed >= 0]))
    return sizes, _by_owner(sizes, found)


def _interleaved(
    starts: NDArray[np.int32], lengths: NDArray[np.int32], values: NDArray[np.int32], ranks: int
) -> Lists:
    """Return each owner's lists rank by rank with repeats emptied; unknown items count as one item."""
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
    """Sort entries that come group by group by their owners."""
    ends = np.cumsum(sizes)
    items = np.empty(int(ends[-1]) if len(ends) else 0, np.int32)
    for who, entries in found:
        items[ragged(ends[who] - sizes[who], sizes[who])] = entries
    items[items == _UNKNOWN] = -1
    return items


def staged_lines(
    users: pa.Array,
    sizes: NDArray[np.int64],
    items: NDArray[np.int32],
    failed: NDArray[np.bool_],
    scores: NDArray[np.float32] | None = None,
) -> pa.Table:
    """Make a table of ``STAGED``, or of ``SCORED``.

    :param users: each once; ``sizes``: how many of ``items`` each one has.
    :param failed: whether some question about the user has no answer.
    """
    offsets = np.zeros(len(users) + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    values = [items] if scores is None else [items, scores]
    lists = [pa.ListArray.from_arrays(pa.array(offsets), pa.array(each)) for each in values]
    columns = [users.cast(pa.string()), lists[0], pa.array(failed), *lists[1:]]
    return pa.Table.from_arrays(columns, schema=STAGED if scores is None else SCORED)
