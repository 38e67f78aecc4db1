"""The ids that an export of users or items had so far."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsync.storage.hashes import Hashes


class SeenIds:
    """Sorted runs of hashes, few and each larger than the next: 8 bytes per id."""

    def __init__(self) -> None:
        self._runs: list[Hashes] = []

    def repeated(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Tell which rows have an id that came before, in these rows or in earlier ones."""
        repeated = np.ones(len(hashes), dtype=np.bool_)
        repeated[np.unique(hashes, return_index=True)[1]] = False
        for run in self._runs:
            repeated |= among(run, hashes)
        return repeated

    def add(self, hashes: Hashes) -> None:
        """Remember ids that are new."""
        run = np.sort(hashes)
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]))
        self._runs.append(run)

    @property
    def ids(self) -> Hashes:
        """All of them, sorted."""
        if len(self._runs) > 1:
            self._runs = [np.sort(np.concatenate(self._runs))]
        return self._runs[0] if self._runs else np.empty(0, dtype=np.uint64)


def among(known: Hashes, hashes: Hashes) -> NDArray[np.bool_]:
    """Tell which hashes are in a sorted array."""
    if not len(known):
        return np.zeros(len(hashes), dtype=np.bool_)
    places = np.searchsorted(known, hashes)
    np.minimum(places, len(known) - 1, out=places)
    found: NDArray[np.bool_] = known[places] == hashes
    return found
