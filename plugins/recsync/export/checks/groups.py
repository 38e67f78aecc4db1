"""What the number of rows per id says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsync.export.checks.id_set import among
from recsync.export.checks.odd_texts import NULL_WORD_HASHES
from recsync.export.checks.spool import Counts
from recsync.storage.hashes import Hashes

# The smallest number of rows in each bar of the history plot; the last one is open.
_FROM = np.array([1, 2, 3, 6, 11, 21, 51, 101, 201, 501, 1001])


@dataclass(frozen=True)
class IdFigures:
    """Ids and their rows.

    :param with_two: ids that have at least two rows.
    :param unknown_rows: rows whose id the other dataset does not hold; None when that is not known.
    :param new: ids that were not there before; None when that is not known.
    :param null_rows: rows whose id is a word for a missing value.
    """

    distinct: int
    with_two: int
    unknown_rows: int | None
    new: int | None
    null_rows: int
    history: list[dict[str, Any]]


def id_figures(
    groups: Iterable[tuple[Hashes, Counts]],
    known: Hashes | None,
    before: Hashes | None = None,
    kept: list[Hashes] | None = None,
) -> IdFigures:
    """Count ids.

    :param groups: distinct hashes and their rows.
    :param known: sorted hashes of the ids that another dataset holds.
    :param before: sorted hashes of the ids that are not new.
    :param kept: takes the hashes of all ids.
    """
    distinct = with_two = unknown = new = largest = null_rows = 0
    bars = np.zeros(len(_FROM), dtype=np.int64)
    for hashes, counts in groups:
        distinct += len(hashes)
        if kept is not None:
            kept.append(hashes)
        with_two += int((counts > 1).sum())
        largest = max(largest, int(counts.max(initial=0)))
        bars += np.bincount(np.searchsorted(_FROM, counts, side="right") - 1, minlength=len(_FROM))
        null_rows += int(counts[among(NULL_WORD_HASHES, hashes)].sum())
        if known is not None:
            unknown += int(counts[~among(known, hashes)].sum())
        if before is not None:
            new += int((~among(before, hashes)).sum())
    return IdFigures(
        distinct=distinct,
        with_two=with_two,
        unknown_rows=None if known is None else unknown,
        new=None if before is None else new,
        null_rows=null_rows,
        history=_bars(bars, largest),
    )


def _bars(users: NDArray[np.int64], largest: int) -> list[dict[str, Any]]:
    last = [*(_FROM[1:] - 1).tolist(), largest]
    return [
        {"from": first, "to": to, "users": count}
        for first, to, count in zip(_FROM.tolist(), last, users.tolist(), strict=True)
        if count
    ]
