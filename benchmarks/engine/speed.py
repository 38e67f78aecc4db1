"""Train on, update with and answer from millions of interactions; each function in a process of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_limits

from benchmarks.engine.shop import shop, shop_users
from benchmarks.job import Job
from personalize_local import engine

_RECIPE = "aws-user-personalization"
_FACTORS, _REGULARIZATION, _THREADS = 64, 10.0, 2
RESULTS = 25


def bare_als(job: Job) -> None:
    """Fit implicit's ALS with its default number of iterations on a matrix that is ready."""
    table = pq.read_table(shop(job.options["rows"])[0], columns=["USER_ID", "ITEM_ID"])
    user, item = (_codes(table[name]) for name in table.column_names)
    matrix = sparse.csr_matrix((np.ones(len(user), np.float32), (user, item)))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    model = AlternatingLeastSquares(
        factors=_FACTORS, regularization=_REGULARIZATION, random_state=0, num_threads=_THREADS
    )
    with job.clock(), threadpool_limits(limits=1, user_api="blas"):
        model.fit(matrix, show_progress=False)


def full(job: Job) -> None:
    """Train in mode FULL: encode, evaluate on the service's split, fit on all rows."""
    data = engine.TrainingData(pq.read_table(shop(job.options["rows"])[0]))
    with job.clock():
        model = engine.train(_RECIPE, data, {})
    model.save(Path(job.options["state"]))
    job.figures["metrics"] = model.metrics


def update(job: Job) -> None:
    """Train in mode UPDATE on half a percent more rows."""
    data = engine.TrainingData(pq.read_table(shop(job.options["rows"])[1]))
    with job.clock():
        engine.update(_RECIPE, Path(job.options["state"]), data)


def infer(job: Job) -> None:
    """Answer for everybody, at most 50,000 users, with the default exploration."""
    count = min(shop_users(job.options["rows"]), 50_000)
    queries = [engine.Query(user_id=f"user-{user}") for user in range(count)]
    with job.clock():
        model = engine.load(_RECIPE, Path(job.options["state"]))
        answers = model.answer(queries, RESULTS, engine.Options(engine.Exploration()))
        found = sum(len(answer.ids) == RESULTS for answer in answers)
    job.figures |= {"users": count, "whole": found}


def _codes(ids: pa.ChunkedArray) -> np.ndarray:
    return ids.combine_chunks().dictionary_encode().indices.to_numpy()
