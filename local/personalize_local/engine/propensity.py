"""Learn how likely each user is to take each action."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]  # ships no stubs

from personalize_local.engine.exposures import ActionEvents, split_events
from personalize_local.engine.interactions import Float32Array, FloatArray, IntArray, Interactions
from personalize_local.engine.item_metadata import directions, unit

FILE = "propensity.npz"
# Saved models name this array differently.
_STORED_AS = {"embedding": "taste"}
EMBEDDING_SIZE = 32
# Pseudo-rows that shrink every rate towards the overall mean.
PRIOR_ROWS = 10.0
RIDGE = 10.0
# The weights of the signals are learned from the newest fifth of the users' rows, one tenth of the users per fold.
LABEL_SHARE = 0.2
FOLDS = 10
MIN_LABEL_ROWS = 50
# Weights of action rate, embedding, own rate and user's rate where there are too few rows to learn them from.
DEFAULT_WEIGHTS = np.array([1.0, 4.0, 2.0, 1.0])


@dataclass(frozen=True)
class Propensity:
    """A rate and a slope over user embeddings per action, and rates per (user, action) pair and per user.

    `pairs` are sorted keys user * actions + action; `pair_rate` and `user_rate` are differences from the action's rate.
    """

    embedding: Float32Array
    action_rate: FloatArray
    slope: FloatArray
    pairs: IntArray
    pair_rate: FloatArray
    user_rate: FloatArray
    weights: FloatArray
    offset: FloatArray

    def likelihood(self, users: IntArray) -> FloatArray:
        """Return the probability that users take actions, shape (len(users), actions); -1 is an unknown user."""
        size = len(self.action_rate)
        odds = self.odds(np.repeat(users, size), np.tile(np.arange(size), len(users)))
        return np.asarray(1 / (1 + np.exp(-odds))).reshape(len(users), size)

    def odds(self, user: IntArray, action: IntArray) -> FloatArray:
        """Return the log odds that users take actions, pair by pair."""
        return np.asarray(self.features(user, action) @ self.weights + self.offset[0])

    def features(self, user: IntArray, action: IntArray) -> FloatArray:
        """Return four signals per pair."""
        known = user >= 0
        fit = np.einsum("ij,ij->i", self.embedding[user], self.slope[action])
        keys = user * len(self.action_rate) + action
        place = np.minimum(np.searchsorted(self.pairs, keys), max(0, len(self.pairs) - 1))
        own = np.where(self.pairs[place] == keys, self.pair_rate[place], 0.0) if len(self.pairs) else 0 * fit
        columns = [
            logit(self.action_rate[action]),
            np.where(known, fit, 0),
            np.where(known, own, 0),
            np.where(known, self.user_rate[user], 0),
        ]
        return np.column_stack(columns)

    def write(self, folder: Path) -> None:
        """Write one npz file."""
        np.savez(
            folder / FILE,
            **{_STORED_AS.get(name, name): getattr(self, name) for name in self.__dataclass_fields__},
        )

    @classmethod
    def read(cls, folder: Path) -> "Propensity":
        """Read what :meth:`write` wrote."""
        with np.load(folder / FILE) as arrays:
            return cls(**{name: arrays[_STORED_AS.get(name, name)] for name in cls.__dataclass_fields__})


def logit(rate: FloatArray) -> FloatArray:
    """Turn rates into log odds."""
    rate = np.clip(rate, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(rate / (1 - rate)))


def learn_propensity(events: ActionEvents, embedding: Float32Array, num_actions: int) -> Propensity:
    """Learn the weights on the newest rows of users, held out in turn, then measure the signals on all.

    Holding out all users at once would leave no rows of the newest actions to measure.
    """
    features, centred, success = [], [], []
    for fold in range(FOLDS):
        older, labels = split_events(events, fold, LABEL_SHARE)
        seen = measure(older, embedding, num_actions).features(labels.user, labels.action)
        features.append(seen)
        # More successes among the labels of a fold leave fewer to measure, so rates are only comparable within a fold.
        centred.append(seen - seen.mean(axis=0) if len(seen) else seen)
        success.append(labels.taken)
    outcome = np.concatenate(success)
    weights, offset = DEFAULT_WEIGHTS, 0.0
    if len(outcome) >= MIN_LABEL_ROWS and 0 < outcome.sum() < len(outcome):
        model = LogisticRegression(C=1.0, max_iter=500)
        model.fit(np.concatenate(centred), outcome)
        # No signal can reduce the odds; a negative weight is noise.
        weights = np.maximum(0, model.coef_[0])
        offset = float(model.intercept_[0] - np.concatenate(features).mean(axis=0) @ weights)
    return measure(events, embedding, num_actions, weights, offset)


def measure(
    events: ActionEvents,
    embedding: Float32Array,
    num_actions: int,
    weights: FloatArray = DEFAULT_WEIGHTS,
    offset: float = 0.0,
) -> Propensity:
    """Measure the signals; shrink rates towards their means, more strongly for few rows."""
    success = events.taken.astype(np.float64)
    mean = (success.sum() + 1) / (len(events) + 2)
    taken, rows = (np.bincount(events.action, part, num_actions) for part in (success, np.ones(len(events))))
    action_rate = (taken + PRIOR_ROWS * mean) / (rows + PRIOR_ROWS)
    left = success - action_rate[events.action]
    keys = events.user * num_actions + events.action
    pairs, place = np.unique(keys, return_inverse=True)
    # A pair has few, informative rows: 2 pseudo-rows are enough.
    pair_rate = np.bincount(place, left) / (np.bincount(place) + 2) if len(keys) else np.zeros(0)
    size = len(embedding)
    user_rate = np.bincount(events.user, left, size) / (np.bincount(events.user, minlength=size) + PRIOR_ROWS)
    slope = np.zeros((num_actions, embedding.shape[1]))
    for action in np.unique(events.action):
        own = events.action == action
        seen = embedding[events.user[own]].astype(np.float64)
        slope[action] = np.linalg.solve(seen.T @ seen + RIDGE * np.eye(seen.shape[1]), seen.T @ left[own])
    return Propensity(
        embedding, action_rate, slope, pairs, pair_rate, user_rate, np.asarray(weights), np.array([offset])
    )


def interaction_embeddings(interactions: Interactions, users: IntArray) -> Float32Array:
    """Embed users by the items they interacted with, shape (len(users), up to 32).

    :param users: codes of the users in the interactions, -1 for those without any, who get zeros.
    """
    matrix: Any = sparse.csr_matrix(
        (np.ones(len(interactions)), (interactions.user, interactions.item)),
        shape=(interactions.num_users, interactions.num_items),
        dtype=np.float32,
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1
    takers = np.asarray(matrix.sum(axis=0)).ravel()
    matrix = matrix @ sparse.diags((1 / np.sqrt(np.maximum(1, takers))).astype(np.float32))
    vectors, _ = directions(matrix, EMBEDDING_SIZE)
    found = unit(np.asarray(matrix @ vectors.T, dtype=np.float32))
    return np.asarray(found[users] * (users >= 0)[:, None], dtype=np.float32)
