"""Whose line is whose: each user's first line among the lines of a partition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

# Lines looked at together; there are more only when most lines are not of the audience.
_LINES_AT_ONCE = 500_000


@dataclass(frozen=True)
class Lines:
    """Each user's first line: ``lengths`` is 0 for none; ``errors`` is -1 for none, a number of an error text else."""

    found: NDArray[np.bool_]
    errors: NDArray[np.int16]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    items: NDArray[np.int32]
    strangers: int
    repeated: int


def first_lines(lines: pa.Table, users: pa.Array) -> Lines:
    """Find each user's first line.

    :param lines: ``output_spool.SPOOLED``, in the order of the output.
    :param users: each once.
    """
    line_of, kept, taken, strangers, repeated = np.full(len(users), -1, np.int64), [], 0, 0, 0
    for start in range(0, lines.num_rows, _LINES_AT_ONCE):
        block = lines.slice(start, _LINES_AT_ONCE).combine_chunks()
        owners = pc.index_in(block["user_id"].chunk(0), value_set=users).fill_null(-1).to_numpy()
        inside = np.flatnonzero(owners >= 0)
        owned, firsts = np.unique(owners[inside], return_index=True)
        new = line_of[owned] < 0
        owned, firsts = owned[new], firsts[new]
        line_of[owned] = taken + np.arange(len(owned))
        kept.append(block.select(["items", "error"]).take(pa.array(inside[firsts])))
        taken += len(owned)
        strangers += block.num_rows - len(inside)
        repeated += len(inside) - len(owned)
    found = line_of >= 0
    if not taken:
        nothing = np.zeros(len(users), np.int64)
        return Lines(
            found,
            np.full(len(users), -1, np.int16),
            nothing,
            nothing,
            np.empty(0, np.int32),
            strangers,
            repeated,
        )
    table = pa.concat_tables(kept).combine_chunks()
    numbers = table["error"].chunk(0).fill_null(-1).to_numpy()
    items = table["items"].chunk(0)
    offsets = items.offsets.to_numpy().astype(np.int64)
    errors = np.where(found, numbers[line_of], -1).astype(np.int16)
    lengths = np.where(found & (errors < 0), np.diff(offsets)[line_of], 0)
    return Lines(found, errors, offsets[line_of], lengths, items.values.to_numpy(), strangers, repeated)
