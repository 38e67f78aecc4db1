"""Say which ids a filter leaves to one input line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress


@dataclass(frozen=True)
class Remainder:
    """Hold what is left: most of it shared by all lines with the same values.

    :param places: place of each id in `shared`, in the order of the places.
    :param shared: a byte per id, 1 where it is left, and one more for ids without a row.
    :param extra: ids of this line that are left whatever `shared` says.
    :param dropped: ids of this line that are not left, unless they are `extra`.
    """

    places: Mapping[str, int]
    shared: bytes
    extra: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()


class Allowed:
    """Test ids, one by one (called) or a list at once (:meth:`keep`).

    What is left is worked out when first needed, and is not kept by :meth:`keep` and :meth:`ids`: thousands of these
    may wait for their turn.
    """

    def __init__(self, work_out: Callable[[], Remainder]) -> None:
        self._work_out = work_out

    def __call__(self, checked_id: str) -> bool:
        left = self._remainder
        if checked_id in left.extra:
            return True
        place = left.places.get(checked_id, -1)
        return left.shared[place] == 1 and checked_id not in left.dropped

    def keep(self, ids: Sequence[str], most: int) -> list[int]:
        """Return the places in `ids` of the first `most` that are left."""
        left = self._work_out()
        places, shared, dropped, extra = left.places, left.shared, left.dropped, left.extra
        if extra:
            found = [
                n for n, i in enumerate(ids) if i in extra or (shared[places.get(i, -1)] and i not in dropped)
            ]
        else:
            found = [n for n, i in enumerate(ids) if shared[places.get(i, -1)] and i not in dropped]
        return found[:most]

    def ids(self) -> frozenset[str] | None:
        """Return all ids that are left, or None when that includes ids without a row of their own.

        An INCLUDE gives a finite set, an EXCLUDE alone does not.
        """
        left = self._work_out()
        if left.shared[-1]:
            return None
        known = frozenset(compress(left.places, left.shared))
        return known - left.dropped | left.extra

    @cached_property
    def _remainder(self) -> Remainder:
        return self._work_out()
