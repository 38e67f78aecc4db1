"""Learn item factors with alternating least squares, and fold users in.

All users are folded in from their history, so that held-out, new and known users are treated alike.
"""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # ships no stubs

from personalize_local.engine.histories import Histories
from personalize_local.engine.interactions import Float32Array, IntArray

SEED = 20170101
ITERATIONS = 6
# Factors learned before on nearly the same rows need fewer.
WARM_ITERATIONS = 3
# Directions weaker than this share of the strongest one are noise: the regularisation takes that much off
# every singular value. On The Complete Journey 0.02 to 0.08 are equally good, 0.25 is worse.
NOISE_SHARE = 0.08
# At least 4 users and items per factor, against overfitting small data.
ROWS_PER_FACTOR = 4
POWER_ITERATIONS = 20
MAX_THREADS = 4
# Below 1e5 entries times factors per thread the threads of OpenMP wait for each other, spinning, for longer than they
# work: on 300 users, 60 items and 15 factors a second thread takes seven times the CPU, and is slower.
WORK_PER_THREAD = 1e5
# Looks for the BLAS libraries once, instead of 1.3 ms at each use. NumPy's and SciPy's are loaded by the imports above.
THREADPOOLS = ThreadpoolController()


@dataclass(frozen=True)
class ItemFactors:
    """One vector per factorised item; `column` maps item codes to rows, -1 for the other items."""

    items: IntArray
    vectors: Float32Array
    column: IntArray
    regularization: float

    def move(self, items: IntArray, num_items: int) -> "ItemFactors":
        """Replace the item codes of the rows; -1 drops a row."""
        kept = items >= 0
        column = columns_of(items[kept], num_items)
        return ItemFactors(items[kept], self.vectors[kept], column, self.regularization)

    def of_items(self, items: IntArray | slice) -> Float32Array:
        """Return the vectors of items, zeros for items without a vector."""
        column = self.column[items]
        return self.vectors[np.maximum(column, 0)] * (column >= 0)[:, None]


def choose_items(users_per_item: Float32Array) -> IntArray:
    """Choose the items to factorise: those with at least two users, or with one if there are too few."""
    for least in (2, 1):
        chosen = np.flatnonzero(users_per_item >= least)
        if len(chosen) > 1:
            break
    return chosen


def columns_of(items: IntArray, num_items: int) -> IntArray:
    """Map item codes to positions in `items`, -1 for those not in it."""
    column = np.full(num_items, -1, dtype=np.int64)
    column[items] = np.arange(len(items))
    return column


def learn_factors(
    histories: Histories, items: IntArray, num_items: int, num_factors: int, start: ItemFactors | None = None
) -> ItemFactors:
    """Factorise the users' histories over the given items, with fewer factors on small data.

    :param start: factors of nearly the same rows, as a warm start.
    """
    column = columns_of(items, num_items)
    matrix = matrix_of(histories, column, len(items), half_life=None)
    users = int(np.count_nonzero(np.diff(matrix.indptr)))
    num_factors = max(1, min(num_factors, len(items) // ROWS_PER_FACTOR, users // ROWS_PER_FACTOR))
    regularization = NOISE_SHARE * largest_singular_value(matrix)
    model = solver(num_factors, regularization, matrix)
    if start is not None and start.vectors.shape[1] == num_factors:
        model.item_factors, model.iterations = start.of_items(items), WARM_ITERATIONS
    with THREADPOOLS.limit(limits=1, user_api="blas"):
        # implicit runs its own threads; a threaded BLAS under them is slow and sums in varying order.
        model.fit(matrix, show_progress=False)
    return ItemFactors(items, model.item_factors, column, regularization)


def largest_singular_value(matrix: Any) -> float:
    """Estimate the largest singular value of a non-negative matrix by power iteration."""
    vector = np.ones(matrix.shape[1], dtype=np.float32)
    value = 0.0
    for _ in range(POWER_ITERATIONS):
        vector = matrix.T @ (matrix @ vector)
        before, value = value, float(np.linalg.norm(vector))
        vector /= np.float32(max(value, 1e-12))
        if abs(value - before) <= 1e-4 * value:
            break
    return float(np.sqrt(value))


def embed_users(
    histories: Histories, factors: ItemFactors, half_life: float | None, users: IntArray | None = None
) -> Float32Array:
    """Compute user vectors from histories, shape (users, factors).

    :param half_life: number of items after which, counted back from the most recent, an item counts half;
        None when all count alike.
    """
    matrix = matrix_of(histories, factors.column, len(factors.items), half_life)
    if users is not None:
        matrix = matrix[users]
    model = solver(factors.vectors.shape[1], factors.regularization, matrix)
    model.item_factors = factors.vectors
    vectors = np.zeros((matrix.shape[0], factors.vectors.shape[1]), dtype=np.float32)
    # Skip empty rows, which would cost as much as the others.
    rows = np.flatnonzero(np.diff(matrix.indptr))
    with THREADPOOLS.limit(limits=1, user_api="blas"):
        vectors[rows] = model.recalculate_user(rows, matrix[rows])
    return vectors


def solver(num_factors: int, regularization: float, matrix: Any) -> Any:
    """Make implicit's solver of a matrix, with all its settings fixed; threads do not change its results."""
    worth = int(matrix.nnz * num_factors / WORK_PER_THREAD)
    threads = max(1, min(MAX_THREADS, os.cpu_count() or 1, worth))
    # implicit checks BLAS threads in the constructor and warns, hence the limit around it too.
    with THREADPOOLS.limit(limits=1, user_api="blas"):
        return AlternatingLeastSquares(
            factors=num_factors,
            regularization=regularization,
            iterations=ITERATIONS,
            random_state=SEED,
            num_threads=threads,
        )


def matrix_of(histories: Histories, column: IntArray, num_columns: int, half_life: float | None) -> Any:
    """Build the sparse matrix of confidences, users by factorised items.

    All counts weigh 1: on groceries that predicts new items better than counts or their logarithms.
    """
    place = column[histories.item]
    used = place >= 0
    confidence = np.ones(int(used.sum()), dtype=np.float32)
    if half_life is not None:
        confidence = np.exp2(histories.rank[used].astype(np.float32) * np.float32(-1 / half_life))
    indptr = np.append(0, np.cumsum(used))[histories.indptr]
    shape = (len(histories.indptr) - 1, num_columns)
    return sparse.csr_matrix((confidence, place[used].astype(np.int32), indptr.astype(np.int32)), shape=shape)
