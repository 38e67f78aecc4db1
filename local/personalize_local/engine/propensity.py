"""Learn how likely each user is to take each action."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]  # ships no stubs

from personalize_local.engine.actions import ActionEvents
from personalize_local.engine.interactions import Float32Array, FloatArray, IntArray, Interactions
from personalize_local.engine.item_metadata import directions, unit
from personalize_local.engine.occasions import split_events

FILE = "propensity.npz"
TASTE_SIZE = 32
# So many imagined rows pull every rate towards the mean of all.
PRIOR_ROWS = 10.0
RIDGE = 10.0
# The newest part of the rows of users teaches how much the signals weigh; a tenth of the users at a time.
LESSON_SHARE = 0.2
LESSONS = 10
MIN_LESSON_ROWS = 50
# Weights of action rate, taste, own rate and user's rate where there are too few rows to learn them from.
DEFAULT_WEIGHTS = np.array([1.0, 4.0, 2.0, 1.0])


@dataclass(frozen=True)
class Propensity:
    """Hold what is learned: a rate per action, a slope over tastes per action, rates per pair and per user.

    `pairs` are sorted keys user * actions + action; `pair_rate` and `user_rate` are differences to what was
    to be expected.
    """

    taste: Float32Array
    action_rate: FloatArray
    slope: FloatArray
    pairs: IntArray
    pair_rate: FloatArray
    user_rate: FloatArray
    weights: FloatArray
    offset: FloatArray

    def likelihood(self, users: IntArray) -> FloatArray:
        """Give the chance that users take actions, shape (len(users), actions); -1 for an unknown user."""
        size = len(self.action_rate)
        odds = self.odds(np.repeat(users, size), np.tile(np.arange(size), len(users)))
        return np.asarray(1 / (1 + np.exp(-odds))).reshape(len(users), size)

    def odds(self, user: IntArray, action: IntArray) -> FloatArray:
        """Give the log odds that users take actions, pair by pair."""
        return np.asarray(self.features(user, action) @ self.weights + self.offset[0])

    def features(self, user: IntArray, action: IntArray) -> FloatArray:
        """Describe pairs by four signals."""
        known = user >= 0
        fit = np.einsum("ij,ij->i", self.taste[user], self.slope[action])
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
        np.savez(folder / FILE, **{name: getattr(self, name) for name in self.__dataclass_fields__})

    @classmethod
    def read(cls, folder: Path) -> "Propensity":
        """Read what :meth:`write` wrote."""
        with np.load(folder / FILE) as arrays:
            return cls(**{name: arrays[name] for name in cls.__dataclass_fields__})


def logit(rate: FloatArray) -> FloatArray:
    """Turn rates into log odds."""
    rate = np.clip(rate, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(rate / (1 - rate)))


def learn_propensity(events: ActionEvents, taste: Float32Array, num_actions: int) -> Propensity:
    """Learn the weights on the newest rows of users, held out in turn, then measure the signals on all.

    The newest rows of all users at once would leave nothing about the newest actions to measure.
    """
    features, centred, success = [], [], []
    for fold in range(LESSONS):
        older, lesson = split_events(events, fold, LESSON_SHARE)
        seen = measure(older, taste, num_actions).features(lesson.user, lesson.action)
        features.append(seen)
        # The more of a lesson are successes the fewer are left to measure: across lessons, all rates mislead.
        centred.append(seen - seen.mean(axis=0) if len(seen) else seen)
        success.append(lesson.taken)
    outcome = np.concatenate(success)
    weights, offset = DEFAULT_WEIGHTS, 0.0
    if len(outcome) >= MIN_LESSON_ROWS and 0 < outcome.sum() < len(outcome):
        model = LogisticRegression(C=1.0, max_iter=500)
        model.fit(np.concatenate(centred), outcome)
        # Each signal speaks for an action or says nothing; less than nothing is chance.
        weights = np.maximum(0, model.coef_[0])
        offset = float(model.intercept_[0] - np.concatenate(features).mean(axis=0) @ weights)
    return measure(events, taste, num_actions, weights, offset)


def measure(
    events: ActionEvents,
    taste: Float32Array,
    num_actions: int,
    weights: FloatArray = DEFAULT_WEIGHTS,
    offset: float = 0.0,
) -> Propensity:
    """Measure the signals; rates are pulled towards their means, the more so the fewer rows there are."""
    success = events.taken.astype(np.float64)
    mean = (success.sum() + 1) / (len(events) + 2)
    taken, rows = (np.bincount(events.action, part, num_actions) for part in (success, np.ones(len(events))))
    action_rate = (taken + PRIOR_ROWS * mean) / (rows + PRIOR_ROWS)
    left = success - action_rate[events.action]
    keys = events.user * num_actions + events.action
    pairs, place = np.unique(keys, return_inverse=True)
    # Of one pair there are few rows, and they say much: two imagined ones are enough.
    pair_rate = np.bincount(place, left) / (np.bincount(place) + 2) if len(keys) else np.zeros(0)
    size = len(taste)
    user_rate = np.bincount(events.user, left, size) / (np.bincount(events.user, minlength=size) + PRIOR_ROWS)
    slope = np.zeros((num_actions, taste.shape[1]))
    for action in np.unique(events.action):
        own = events.action == action
        seen = taste[events.user[own]].astype(np.float64)
        slope[action] = np.linalg.solve(seen.T @ seen + RIDGE * np.eye(seen.shape[1]), seen.T @ left[own])
    return Propensity(
        taste, action_rate, slope, pairs, pair_rate, user_rate, np.asarray(weights), np.array([offset])
    )


def tastes(interactions: Interactions, users: IntArray) -> Float32Array:
    """Describe users by what they took, shape (len(users), up to 32).

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
    vectors, _ = directions(matrix, TASTE_SIZE)
    found = unit(np.asarray(matrix @ vectors.T, dtype=np.float32))
    return np.asarray(found[users] * (users >= 0)[:, None], dtype=np.float32)
