"""Pick each user's line among the lines of a partition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsync.recommend.lists.rules import ragged

# Lines looked at together; there are more only when most lines are not of the audience.
_LINES_AT_ONCE = 500_000


@dataclass(frozen=True)
class Lines:
    """Each user's line: the first one with an answer, else the first one.

    :param failed: the line has an error, or answers only a part of what was asked for the user.
    :param lengths: how many items the line has; 0 without one.
    :param strangers: lines of users who were not looked for.
    :param repeated: further answers of a user.
    :param conflicts: users of whom two answers differ.
    """

    found: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    items: NDArray[np.int32]
    strangers: int
    repeated: int
    conflicts: int


def first_lines(lines: pa.Table, users: pa.Array) -> Lines:
    """Pick each user's line.

    :param lines: ``output_spool.SPOOLED``, in the order of the output.
    :param users: each once.
    """
    line_of, kept, taken, strangers = np.full(len(users), -1, np.int64), [], 0, 0
    further: list[tuple[NDArray[np.int64], pa.Table]] = []
    # An answer counts before an error of the same user, wherever the two stand.
    for with_error in (False, True):
        for start in range(0, lines.num_rows, _LINES_AT_ONCE):
            block = lines.slice(start, _LINES_AT_ONCE).combine_chunks()
            owners = pc.index_in(block["user_id"].chunk(0), value_set=users).fill_null(-1).to_numpy()
            alike = block["failed"].chunk(0).to_numpy(zero_copy_only=False) == with_error
            strangers += int(np.count_nonzero(alike & (owners < 0)))
            inside = np.flatnonzero(alike & (owners >= 0))
            owned, firsts = np.unique(owners[inside], return_index=True)
            new = line_of[owned] < 0
            owned, firsts = owned[new], firsts[new]
            line_of[owned] = taken + np.arange(len(owned))
            kept.append(block.select(["items", "failed"]).take(pa.array(inside[firsts])))
            taken += len(owned)
            others = np.delete(inside, firsts)
            if len(others) and not with_error:
                further.append((owners[others], block.select(["items"]).take(pa.array(others))))
    found = line_of >= 0
    if not taken:
        nothing = np.zeros(len(users), np.int64)
        return Lines(found, found, nothing, nothing, np.empty(0, np.int32), strangers, 0, 0)
    table = pa.concat_tables(kept).combine_chunks()
    lists = table["items"].chunk(0)
    offsets = lists.offsets.to_numpy().astype(np.int64)
    starts, lengths = offsets[line_of], np.where(found, np.diff(offsets)[line_of], 0)
    failed = found & table["failed"].chunk(0).to_numpy(zero_copy_only=False)[line_of]
    items = lists.values.to_numpy()
    conflicting = [
        owners[_differ(starts[owners], lengths[owners], items, other)] for owners, other in further
    ]
    conflicts = len(np.unique(np.concatenate(conflicting))) if conflicting else 0
    repeated = sum(len(owners) for owners, _ in further)
    return Lines(found, failed, starts, lengths, items, strangers, repeated, conflicts)


def _differ(
    starts: NDArray[np.int64], lengths: NDArray[np.int64], items: NDArray[np.int32], further: pa.Table
) -> NDArray[np.bool_]:
    """Say of each further line whether its items differ from those of the line that counts."""
    others = further["items"].combine_chunks()
    offsets = others.offsets.to_numpy().astype(np.int64)
    differ: NDArray[np.bool_] = np.diff(offsets) != lengths
    same = np.flatnonzero(~differ)
    counted = items[ragged(starts[same], lengths[same])]
    unequal = counted != others.values.to_numpy()[ragged(offsets[same], lengths[same])]
    differ[np.repeat(same, lengths[same])[unequal]] = True
    return differ
