"""Bring a trained model up to date: training mode UPDATE, which works out anew only what has changed."""

from dataclasses import dataclass, replace

import numpy as np

from personalize_local.engine.answers import Answers, checksums, positions, prepare_answers
from personalize_local.engine.catalogue import Catalogue, describe_items
from personalize_local.engine.data import TrainingData
from personalize_local.engine.histories import measure_items, summarise
from personalize_local.engine.interactions import (
    BoolArray,
    IntArray,
    Interactions,
    distinct_rows,
    read_columns,
)
from personalize_local.engine.weights import Weights

# Differences of log odds below this come from the order of sums.
ROUNDING = 1e-3


@dataclass(frozen=True)
class Renewal:
    """Hold the parts of the new model; `interactions` has all ids, and the rows of changed users only."""

    weights: Weights
    answers: Answers
    catalogue: Catalogue
    interactions: Interactions


def renew(weights: Weights, old: Answers, data: TrainingData) -> Renewal:
    """Keep the weights; take in new items, and the newest history of whoever did something.

    Rows are not even sorted but for the users whose checksum differs. A row given twice makes a user differ, too.
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
    fresh = lifted_alike(old, moved, prepare_answers(aligned, changed.take_users(users)))
    place[users] = len(old.user_ids) + np.arange(len(users))
    answers = replace(joined(old, moved, fresh, place), user_ids=user_ids)

    catalogue = describe_items(data, rows, aligned.known, answers.users_of_items())
    surplus = np.bincount(rows.item[of_changed], minlength=len(item_ids))
    surplus -= np.bincount(changed.item, minlength=len(item_ids))
    return Renewal(aligned, answers, replace(catalogue, rows=catalogue.rows - surplus), changed)


def sorted_rows(rows: Interactions, columns: list[IntArray], chosen: BoolArray) -> Interactions:
    """Keep some rows, in the canonical order and each of them once."""
    user, time, item = distinct_rows([column[chosen] for column in columns])[:3]
    return replace(rows, user=user, item=item, time=time)


def lifted_alike(old: Answers, moved: IntArray, fresh: Answers) -> Answers:
    """Lift items as they were lifted towards an objective after the weights had been learned.

    :param moved: the fresh code of every old item, -1 for those that left.
    """
    before = np.full(len(fresh.item_bias), np.nan, dtype=np.float32)
    before[moved[moved >= 0]] = old.item_bias[moved >= 0]
    both = np.isfinite(before) & np.isfinite(fresh.item_bias)
    lift = np.subtract(before, fresh.item_bias, where=both, out=np.zeros_like(before))
    lift[np.abs(lift) < ROUNDING] = 0
    return replace(fresh, own_score=fresh.own_score + lift[fresh.own_item], item_bias=fresh.item_bias + lift)


def joined(old: Answers, moved: IntArray, fresh: Answers, place: IntArray) -> Answers:
    """Put together old and fresh users.

    :param place: of every user, among the old ones and then the fresh ones.
    """
    starts = np.append(old.indptr[:-1], len(old.own_item) + fresh.indptr[:-1])[place]
    lengths = np.append(np.diff(old.indptr), np.diff(fresh.indptr))[place]
    indptr = np.append(0, np.cumsum(lengths))
    pairs = np.repeat(starts - indptr[:-1], lengths) + np.arange(indptr[-1])
    return replace(
        fresh,
        indptr=indptr,
        own_item=np.append(moved[old.own_item], fresh.own_item)[pairs],
        own_score=np.append(old.own_score, fresh.own_score)[pairs],
        vector=np.append(old.vector, fresh.vector, axis=0)[place],
        bias=np.append(old.bias, fresh.bias)[place],
        checksum=np.append(old.checksum, fresh.checksum)[place],
    )
