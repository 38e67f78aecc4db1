"""Combine repeat purchases, user embeddings and popularity into the log odds that an item comes next.

There are two logistic regressions: the repeat model scores the items of the user's own history, the discovery model
all other items. If no item is ever taken twice, there is no repeat model and own items are ranked last.
"""

from dataclasses import dataclass, replace

import numpy as np

from personalize_local.engine.factors import ItemFactors, embed_users
from personalize_local.engine.histories import Histories
from personalize_local.engine.interactions import Float32Array, FloatArray, IntArray
from personalize_local.engine.logistic import Logistic
from personalize_local.engine.training_sample import TrainingSample, discovery_pairs, is_label, own_share

PENALTY = 3.0
# Any-time users together weigh as much as 60 users, and each at most as much as 2. They act as a prior for small data.
# On large data, without this limit, they cost 8 % of NDCG@25 on films and 1.5 % on The Complete Journey.
ANY_TIME_TOTAL_WEIGHT = 60.0
MAX_ANY_TIME_WEIGHT = 2.0
# Log odds of own items without a repeat model: ranks them last.
NEVER_REPEATED = -1_000.0
# Half-life of the newest items as a share of the recent half-life. On films it improves NDCG@25 by a fifth, on
# groceries little.
BRIEF_SHARE = 1 / 8
# Clip standardised repeat features here, so that their squares stay bounded.
REPEAT_FEATURE_LIMIT = 4.0
# Columns of the discovery model: 3 embeddings, 3 item signals, the size of the user's history, and whether the row is
# of an any-time user. Weights of embeddings and signals must not be negative: on small data the leave-one-out counts
# would make popularity negative, because they are lower by one for exactly the items that were taken.
EMBEDDINGS, USER = 3, 6
# Products of columns let popularity count less for users with long histories, who would have bought a popular item
# before. Only these products keep the odds a product of a user vector and an item vector.
PRODUCTS = np.array(
    [(embedding, USER) for embedding in range(EMBEDDINGS)]
    + [(first, second) for first in range(EMBEDDINGS, USER + 1) for second in range(first, USER + 1)]
).T
NO_PRODUCTS = np.zeros((2, 0), dtype=np.int64)
# Above these log odds (3 %) a linear model overestimates discoveries; see Calibration.
KNEE = -3.5
CHUNK_PAIRS = 100_000


@dataclass(frozen=True)
class Calibration:
    """Reduce the log odds of discoveries above a knee, where a linear model overestimates them.

    The order of discoveries does not change, only their rank relative to own items.
    """

    knee: float = 0.0
    slope: float = 1.0

    def apply(self, scores: Float32Array) -> None:
        """Calibrate scores in place."""
        if self.slope >= 1:
            return
        flat = scores.reshape(-1)
        high = np.flatnonzero(flat > self.knee)
        flat[high] = self.knee + self.slope * (flat[high] - self.knee)


@dataclass(frozen=True)
class Ensemble:
    """The two models; `repeat_model` is None if no item was taken twice."""

    repeat_model: Logistic | None
    discovery: Logistic
    calibration: Calibration = Calibration()


def user_embeddings(
    histories: Histories, factors: ItemFactors, half_life: float | None, users: IntArray | None = None
) -> list[Float32Array]:
    """Fold users in over their whole history, its recent part and its newest items.

    :param half_life: of the recent part, in items; None makes all three embeddings the same.
    :param users: user codes; None for all users.
    """
    half_lives = [None] if half_life is None else [None, half_life, BRIEF_SHARE * half_life]
    embeddings = [embed_users(histories, factors, one, users) for one in half_lives]
    return embeddings * (EMBEDDINGS // len(embeddings))


def affinity_of_pairs(
    factors: ItemFactors, embedding: Float32Array, user: IntArray, item: IntArray
) -> Float32Array:
    """Multiply user and item vectors pair by pair, shape (pairs,); `user` indexes the rows of `embedding`."""
    result = np.empty(len(user), dtype=np.float32)
    for start in range(0, len(user), CHUNK_PAIRS):
        part = slice(start, start + CHUNK_PAIRS)
        result[part] = np.einsum("ij,ij->i", factors.of_items(item[part]), embedding[user[part]])
    return result


def repeat_features(
    histories: Histories, pairs: IntArray | slice, signals: Float32Array, affinities: Float32Array
) -> Float32Array:
    """Join the features of (user, item) pairs of the histories."""
    return np.column_stack([histories.features[pairs], signals, affinities])


def learn_ensemble(sample: TrainingSample, factors: ItemFactors, half_life: float | None) -> Ensemble:
    """Fit both regressions."""
    users = np.union1d(sample.users, sample.any_time_users)
    embeddings = user_embeddings(sample.histories, factors, half_life, users)
    repeat_model = learn_repeat_model(sample, factors, embeddings[0], users)
    any_time_weight = min(MAX_ANY_TIME_WEIGHT, ANY_TIME_TOTAL_WEIGHT / max(1, len(sample.any_time_users)))
    discovery, calibration = learn_discovery(sample, factors, embeddings, users, any_time_weight)
    # Without a repeat model the ranks relative to own items do not matter.
    return Ensemble(repeat_model, discovery, Calibration() if repeat_model is None else calibration)


def learn_repeat_model(
    sample: TrainingSample, factors: ItemFactors, embedding: Float32Array, users: IntArray
) -> Logistic | None:
    """Fit the odds that an item of the user's history is taken again; None if none was."""
    chosen = np.zeros(len(sample.histories.indptr) - 1, dtype=np.bool_)
    chosen[sample.users] = True
    user = sample.histories.user
    pairs = np.flatnonzero(chosen[user])
    user, item = user[pairs], sample.histories.item[pairs]
    hit = is_label(sample, user, item)
    if not hit.any():
        return None
    signals = sample.signals.features(item, own_share(sample, user, item))
    affinities = affinity_of_pairs(factors, embedding, np.searchsorted(users, user), item)
    features = repeat_features(sample.histories, pairs, signals, affinities)
    products = np.array(np.triu_indices(features.shape[1]))
    return Logistic.fit(
        features, hit.astype(np.float64), np.ones(len(hit)), PENALTY, products, limit=REPEAT_FEATURE_LIMIT
    )


def learn_discovery(
    sample: TrainingSample,
    factors: ItemFactors,
    embeddings: list[Float32Array],
    users: IntArray,
    any_time_weight: float,
) -> tuple[Logistic, Calibration]:
    """Fit the odds that an item outside the user's history is taken next.

    :param any_time_weight: weight of the pairs of any-time users.
    """
    user, item, weight = discovery_pairs(sample, users)
    hit = is_label(sample, user, item)
    any_time = np.isin(user, sample.any_time_users)
    rows = np.searchsorted(users, user)
    columns = [affinity_of_pairs(factors, embedding, rows, item) for embedding in embeddings]
    columns.append(sample.signals.features(item, own_share(sample, user, item)))
    # Items of any time are easier to predict than the newest ones. The last column absorbs the difference; it is 0 when
    # recommending.
    features = np.column_stack([*columns, sample.histories.size_of_users()[user], any_time])
    weight = np.where(hit, 1.0, weight) * np.where(any_time, any_time_weight, 1.0)
    taken = hit.astype(np.float64)
    model = Logistic.fit(features.astype(np.float32), taken, weight, PENALTY, PRODUCTS, rising=USER)
    newest = ~any_time
    return calibrate(
        model, model.log_odds(features[newest].astype(np.float32)), taken[newest], weight[newest]
    )


def calibrate(
    model: Logistic, score: Float32Array, taken: FloatArray, weight: FloatArray
) -> tuple[Logistic, Calibration]:
    """Calibrate log odds by a piecewise linear function with two segments that meet at the knee."""
    features = np.column_stack([np.minimum(score, KNEE), np.maximum(score - KNEE, 0)])
    line = Logistic.fit(features, taken, weight, PENALTY, NO_PRODUCTS, rising=2)
    (low, high), start = line.weights / line.deviation, line.intercept
    start -= float(line.mean @ (low, high))
    if low <= 0 or high >= low:
        return model, Calibration()
    model = replace(
        model, weights=low * model.weights, form=low * model.form, intercept=low * model.intercept + start
    )
    return model, Calibration(float(low * KNEE + start), float(high / low))
