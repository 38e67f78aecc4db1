"""Record which candidates of each person the rules left out, so that a list can be explained later.

Rules cannot be applied again afterwards: the warehouse has changed since, and neither purchases nor the items' flags
are kept.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

LEFT_OUT = pa.schema(
    [
        ("external_id", pa.string()),
        ("items", pa.list_(pa.int32())),
        ("rules", pa.list_(pa.int8())),
        ("all_rules", pa.int64()),
        ("seeds", pa.list_(pa.int32())),
    ]
)
"""One row per row of ``list_partition.LISTS``, in its order.

``items`` are the person's own candidates that rules left out, as positions in the catalog, -1 for an unknown item;
``rules`` has the rule of each, as its number in the file's metadata. ``all_rules`` has a bit for each rule that left
out a candidate, also one of the fallback. ``seeds`` are the last purchases that the fallback ``similar`` started from.
"""
_RULES = "rules"


def rules_in(names: Sequence[str]) -> dict[str, str]:
    """Return the metadata of a file of ``LEFT_OUT``: the names of the rules by number."""
    return {_RULES: json.dumps(list(names))}


def names_in(metadata: dict[bytes, bytes]) -> list[str]:
    """Read :func:`rules_in`; empty where nothing was recorded."""
    names: list[str] = json.loads(metadata.get(_RULES.encode(), b"[]"))
    return names


@dataclass
class LeftOut:
    """What rules leave out of the candidates of some people.

    :param bits: by row, a bit for each rule that left out something.
    :param entries: arrays of rows, items and rules' numbers; None: only the bits are wanted.
    :param first: the number of the first row, for ``entries``.
    """

    bits: NDArray[np.uint64]
    entries: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int8]]] | None = None
    first: int = 0
    seeds: list[tuple[NDArray[np.int64], NDArray[np.int32]]] = field(default_factory=list)

    @classmethod
    def of(cls, rows: int, *, with_entries: bool = False) -> LeftOut:
        """Begin with nothing."""
        return cls(np.zeros(rows, np.uint64), [] if with_entries else None)

    def rows(self, start: int, end: int) -> LeftOut:
        """Return a view of some rows; it records into the same arrays."""
        return LeftOut(self.bits[start:end], self.entries, self.first + start, self.seeds)

    def add(self, rule: int, where: NDArray[np.bool_], lists: NDArray[np.int32]) -> None:
        """Record items of a matrix of lists."""
        places = np.flatnonzero(where)
        rows = (places // where.shape[1]).astype(np.int32)
        self._add(rule, rows, lists.ravel()[places])

    def add_unknown(self, rule: int, counts: NDArray[np.int64]) -> None:
        """Record the number of unknown items of each row."""
        rows = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        self._add(rule, rows, np.full(len(rows), -1, np.int32))

    def _add(self, rule: int, rows: NDArray[np.int32], items: NDArray[np.int32]) -> None:
        self.bits[rows] |= np.uint64(1 << rule)
        if self.entries is not None and len(rows):
            self.entries.append((rows + np.int32(self.first), items, np.full(len(rows), rule, np.int8)))

    def table(self, external_ids: pa.Array) -> pa.Table:
        """Return the rows of ``LEFT_OUT``."""
        count = len(external_ids)
        entries = self.entries or [(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int8))]
        rows, items, rules = (np.concatenate(each) for each in zip(*entries, strict=True))
        order = np.argsort(rows, kind="stable")
        seed_rows, seeds = np.empty(0, np.int64), np.empty(0, np.int32)
        if self.seeds:
            seed_rows, seeds = (np.concatenate(each) for each in zip(*self.seeds, strict=True))
        columns = [
            external_ids,
            _lists(count, rows, items[order]),
            _lists(count, rows, rules[order]),
            pa.array(self.bits.view(np.int64)),
            _lists(count, seed_rows, seeds),
        ]
        return pa.Table.from_arrays(columns, schema=LEFT_OUT)


def _lists(count: int, rows: NDArray[Any], values: NDArray[Any]) -> pa.ListArray:
    """Make a list per row of values that are in the order of the rows."""
    offsets = np.zeros(count + 1, np.int32)
    np.cumsum(np.bincount(rows, minlength=count), out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
