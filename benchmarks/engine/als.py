"""The peer: implicit's ALS, tuned on a validation cut of the training rows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse

from benchmarks.engine.judging import measure, top, wanted
from personalize_local.engine.evaluation import choose_users, newest_rows
from personalize_local.engine.interactions import Interactions

_THREADS = 2
_VALIDATION_SHARE = 0.3  # of the training users, whose newest tenth of rows is cut off
_BLOCK_USERS = 512


@dataclass(frozen=True)
class Setting:
    """One point of the grid."""

    factors: int
    regularization: float
    alpha: float

    def __str__(self) -> str:
        """Say it in a table."""
        return f"{self.factors} factors, regularisation {self.regularization:g}, alpha {self.alpha:g}"


WIDE = [
    Setting(*point)
    for point in itertools.product((32, 64, 128, 256), (1.0, 5.0, 15.0, 50.0, 150.0), (1.0, 5.0, 20.0))
]
NARROW = [Setting(*point) for point in itertools.product((64, 128), (5.0, 15.0, 50.0), (1.0,))]


def matrix_of(rows: Interactions) -> Any:
    """Lay rows out as users x items of ones."""
    shape = (rows.num_users, rows.num_items)
    matrix = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows.user, rows.item)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


class Als:
    """A fitted model; users are folded in from their histories, whether it was trained on them or not."""

    def __init__(self, rows: Any, setting: Setting) -> None:
        """Fit with the library's default number of iterations."""
        self._model = AlternatingLeastSquares(
            factors=setting.factors,
            regularization=setting.regularization,
            alpha=setting.alpha,
            random_state=0,
            num_threads=_THREADS,
        )
        # Items of one buyer say nothing about others and would make the grid take hours.
        self._items = np.flatnonzero(rows.getnnz(axis=0) >= 2)
        self._model.fit(rows[:, self._items], show_progress=False)

    def lists(self, history: Any, users: list[int]) -> np.ndarray:
        """Return the 25 best unseen items of each user."""
        parts = [users[start : start + _BLOCK_USERS] for start in range(0, len(users), _BLOCK_USERS)]
        return np.concatenate([self._block(history[part][:, self._items]) for part in parts])

    def _block(self, rows: Any) -> np.ndarray:
        vectors = self._model.recalculate_user(np.arange(rows.shape[0]), rows)
        scores = vectors @ self._model.item_factors.T
        scores[rows.nonzero()] = -np.inf
        return self._items[top(scores)]


def tune(train: Interactions, grid: list[Setting]) -> Setting:
    """Return the setting that finds most of what a part of the training users took last."""
    chosen = choose_users(train, round(_VALIDATION_SHARE * len(np.unique(train.user))), "validation")
    is_label = newest_rows(train) & chosen[train.user]
    rest, labels = train.where(~is_label), train.where(is_label)
    relevant = wanted(labels, rest, again=False)
    rows = matrix_of(rest)
    return max(
        grid,
        key=lambda setting: np.mean(measure(Als(rows, setting).lists(rows, list(relevant)), relevant)),
    )
