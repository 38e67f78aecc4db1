"""Update a trained model incrementally (training mode UPDATE): recompute only the users with changed rows."""

from dataclasses import dataclass, replace

import numpy as np

from personalize_local.engine.catalog import Catalog, describe_items
from personalize_local.engine.histories import measure_items, summarise
from personalize_local.engine.inputs import TrainingData
from personalize_local.engine.interactions import (
    BoolArray,
    IntArray,
    Interactions,
    distinct_rows,
    read_columns,
)
from personalize_local.engine.precomputed import PrecomputedScores, checksums, positions, precompute_scores
from personalize_local.engine.weights import Weights

# Smaller differences of log odds are rounding errors.
ROUNDING = 1e-3


@dataclass(frozen=True)
class IncrementalUpdate:
    """Parts of the updated model; `interactions` has all ids, but only the rows of changed users."""

    weights: Weights
    precomputed: PrecomputedScores
    catalog: Catalog
    interactions: Interactions


def update_model(weights: Weights, old: PrecomputedScores, data: TrainingData) -> IncrementalUpdate:
    """Keep the weights; add new items, and recompute the users whose checksum changed.

    Only the rows of changed users are sorted. A duplicate row changes the checksum, too.
    """
    user_ids, item_ids, columns = read_columns(data)
    rows = Interactions(user_ids, item_ids, columns[0], columns[2], columns[1])
    sums = checksums(rows)
    place = positions(user_ids, old.user_ids)
    is_changed = (place < 0) | (old.checksum[place] != sums)
    of_changed = is_changed[rows.user]
    changed = sorted_rows(rows, columns, of_changed)

    is_new = ~np.isin(positions(item_ids, weights.item_ids), np.flatnonzero(weights.known))
    of_new = sorted_rows(rows, columns, is_new[rows.item])
    aligned = weights.align(item_ids, measure_items(of_new, summarise(of_new), rows.latest))

    moved = positions(weights.item_ids, item_ids)
    users = np.flatnonzero(is_changed)
    recomputed = apply_former_lift(old, moved, precompute_scores(aligned, changed.take_users(users)))
    place[users] = len(old.user_ids) + np.arange(len(users))
    precomputed = replace(merge_users(old, moved, recomputed, place), user_ids=user_ids)

    catalog = describe_items(data, rows, aligned.known, precomputed.users_of_items())
    surplus = np.bincount(rows.item[of_changed], minlength=len(item_ids))
    surplus -= np.bincount(changed.item, minlength=len(item_ids))
    return IncrementalUpdate(aligned, precomputed, replace(catalog, rows=catalog.rows - surplus), changed)


def sorted_rows(rows: Interactions, columns: list[IntArray], chosen: BoolArray) -> Interactions:
    """Return the chosen rows, sorted and without duplicates."""
    user, time, item = distinct_rows([column[chosen] for column in columns])[:3]
    return replace(rows, user=user, item=item, time=time)


def apply_former_lift(
    old: PrecomputedScores, moved: IntArray, recomputed: PrecomputedScores
) -> PrecomputedScores:
    """Apply the objective's lift of each item, which is not part of the weights, to the recomputed users.

    :param moved: the new code of every old item, -1 if it is gone.
    """
    before = np.full(len(recomputed.item_bias), np.nan, dtype=np.float32)
    before[moved[moved >= 0]] = old.item_bias[moved >= 0]
    both = np.isfinite(before) & np.isfinite(recomputed.item_bias)
    lift = np.subtract(before, recomputed.item_bias, where=both, out=np.zeros_like(before))
    lift[np.abs(lift) < ROUNDING] = 0
    return replace(
        recomputed,
        own_score=recomputed.own_score + lift[recomputed.own_item],
        item_bias=recomputed.item_bias + lift,
    )


def merge_users(
    old: PrecomputedScores, moved: IntArray, recomputed: PrecomputedScores, place: IntArray
) -> PrecomputedScores:
    """Merge unchanged and recomputed users.

    :param place: of every user in the old users followed by the recomputed ones.
    """
    starts = np.append(old.indptr[:-1], len(old.own_item) + recomputed.indptr[:-1])[place]
    lengths = np.append(np.diff(old.indptr), np.diff(recomputed.indptr))[place]
    indptr = np.append(0, np.cumsum(lengths))
    pairs = np.repeat(starts - indptr[:-1], lengths) + np.arange(indptr[-1])
    return replace(
        recomputed,
        indptr=indptr,
        own_item=np.append(moved[old.own_item], recomputed.own_item)[pairs],
        own_score=np.append(old.own_score, recomputed.own_score)[pairs],
        vector=np.append(old.vector, recomputed.vector, axis=0)[place],
        bias=np.append(old.bias, recomputed.bias)[place],
        checksum=np.append(old.checksum, recomputed.checksum)[place],
    )
