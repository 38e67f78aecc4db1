"""Explore cold items: insert them into some positions of a list.

The service's formula is unpublished; its cheat sheet says that explorable items get a bonus that falls with
their interactions and impressions, plus noise. Here:

- An item is cold if it is unknown to the weights, or has fewer than 5 interactions and fewer than a quarter of the
  catalog's mean. A cold item no older than the cut-off is explorable.
- Every position but the first may be explored. Over the first 25 the expected share is 0.2 x weight, most of it low in
  the list, where it costs least. The former item moves down by one.
- Half of the explored positions go to items added by an UPDATE, half of the rest to items unknown to the weights with a
  creation time, the rest to the others. Within a group the chance is proportional to 1 / (1 + interactions + ignored),
  where an item is ignored once for each list with it that was shown to a user who never took it (`impressions.py`):
  a new item that is often shown and never taken gives way to others. The share of an empty group goes to the next one.
- All noise comes from hashes of user id, position and dataset: the same query gets the same answer.
- An explored item takes the score of the item it pushes down, so scores never rise along the list.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from personalize_local.engine.base import Exploration
from personalize_local.engine.catalog import Catalog
from personalize_local.engine.interactions import BoolArray, FloatArray, IntArray

MAX_COLD_ROWS = 5
COLD_SHARE_OF_MEAN = 0.25
SHARE_AT_FULL_WEIGHT = 0.2
# The share holds over these places, beyond which it stays at 0.2 x weight.
RAMP_PLACES = 25
UintArray = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Explorer:
    """The explorable items with their cumulative chances."""

    items: IntArray
    cumulated: FloatArray
    weight: float
    salt: int

    def places(self, user_hashes: IntArray, length: int) -> tuple[BoolArray, IntArray]:
        """Choose positions and the items for them, both of shape (users, length)."""
        place = np.arange(1, length + 1)
        seeds = (
            mix(user_hashes.astype(np.uint64)[:, None] + np.uint64(self.salt)) + place.astype(np.uint64)[None]
        )
        chosen = uniform(seeds) < chance_at(place, self.weight)[None]
        drawn = np.searchsorted(self.cumulated, uniform(mix(seeds)), side="right")
        return chosen, self.items[np.minimum(drawn, len(self.items) - 1)]


def chance_at(place: IntArray, weight: float) -> FloatArray:
    """Return the chance that a position is explored: 0 for the first, then rising up to the 25th."""
    share = SHARE_AT_FULL_WEIGHT * min(1.0, max(0.0, weight))
    # (place - 1) over its mean of 12 makes the mean over the first 25 places the share.
    ramp = np.where(place <= RAMP_PLACES, (place - 1) / ((RAMP_PLACES - 1) / 2), 1.0)
    return share * ramp


def make_explorer(catalog: Catalog, exploration: Exploration | None, known: BoolArray) -> Explorer | None:
    """Find the explorable items; None when there are none or exploration is off.

    :param known: the items that the weights know, shape (items,).
    """
    if exploration is None or exploration.weight <= 0:
        return None
    limit = min(MAX_COLD_ROWS, COLD_SHARE_OF_MEAN * catalog.rows.sum() / len(catalog))
    cold = ~known | (catalog.rows < limit)
    items = np.flatnonzero(cold & (catalog.age_days <= exploration.item_age_cut_off_days))
    if len(items) == 0:
        return None
    chances = draw_chances(catalog, items, known)
    salt = len(catalog) * 1_000_003 + int(catalog.rows.sum())
    return Explorer(items, np.cumsum(chances), exploration.weight, salt)


def draw_chances(catalog: Catalog, items: IntArray, known: BoolArray) -> FloatArray:
    """Return the chance of each explorable item to be drawn; they sum to 1."""
    is_new = catalog.new[items]
    is_announced = ~is_new & catalog.created[items] & ~known[items]
    groups = [group for group in (is_new, is_announced, ~is_new & ~is_announced) if group.any()]
    chances = np.zeros(len(items))
    left = 1.0
    for group in groups:
        part = left if group is groups[-1] else left / 2
        wish = 1 / (1 + catalog.rows[items[group]] + catalog.ignored[items[group]])
        chances[group] = part * wish / wish.sum()
        left -= part
    return chances


def mix(values: UintArray) -> UintArray:
    """Scramble 64-bit integers (the finaliser of splitmix64)."""
    with np.errstate(over="ignore"):
        values = values + np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))


def uniform(seeds: UintArray) -> FloatArray:
    """Turn seeds into numbers in [0, 1)."""
    return np.asarray((mix(seeds) >> np.uint64(11)) / 2.0**53)


def insert(
    items: list[int], scores: list[float], places: list[int], explored: list[int]
) -> tuple[list[int], list[float]]:
    """Insert explored items at 0-based places and keep the length; skip items already in the list."""
    length = len(items)
    present = set(items)
    for place, item in zip(places, explored, strict=True):
        if item in present:
            continue
        present.add(item)
        items.insert(place, item)
        scores.insert(place, scores[place])
    return items[:length], scores[:length]
