"""Judge the engine's lists against each household's own counts and against tuned ALS, on the same splits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from benchmarks.engine import als, data
from benchmarks.engine.judging import measure, splits, top, wanted
from benchmarks.engine.scoring import ALS, COUNTS, OURS, OURS_UNSEEN, POPULAR
from benchmarks.job import Job
from personalize_local.engine.evaluation import LIST_LENGTH, Split
from personalize_local.engine.interactions import Interactions, encode
from personalize_local.engine.precomputed import PrecomputedScores, precompute_scores
from personalize_local.engine.top_k import TopKScorer
from personalize_local.engine.weights import Hyperparameters, Weights, learn

Scores = dict[str, list[float]]


def judge(job: Job) -> None:
    """Hand back each held-out user's NDCG@25 by recommender, and what ALS was tuned to."""
    load = {"groceries": data.groceries, "films": data.films}[job.options["data"]]
    table = load()
    if table is None:
        return
    interactions = encode(table)
    grid = als.WIDE if job.options["wide"] else als.NARROW
    figures: Scores = {}
    setting: als.Setting | None = None
    # implicit runs its own threads.
    with threadpool_limits(limits=1, user_api="blas"):
        for split in splits(interactions, job.options["folds"]):
            # Once for all splits, for the time it takes. It saw users whom later splits hold out, to its advantage.
            setting = setting or als.tune(split.train, grid)
            for name, found in judge_split(split, setting).items():
                figures.setdefault(name, []).extend(found)
    job.figures |= {"ndcg": figures, "setting": str(setting)}


def judge_split(split: Split, setting: als.Setting) -> Scores:
    """Measure all recommenders on one split."""
    anything, unseen = (wanted(split.labels, split.history, again) for again in (True, False))
    weights = learn(split.train, Hyperparameters())
    answers = precompute_scores(weights, split.history)
    never_again = replace(answers, own_score=np.full_like(answers.own_score, -np.inf))
    peer = als.Als(als.matrix_of(split.train), setting).lists(als.matrix_of(split.history), list(unseen))
    return {
        OURS: measure(_ours(weights, answers, anything), anything),
        COUNTS: measure(_counts(split, list(anything)), anything),
        POPULAR: measure(np.tile(top(_popularity(split.train)[None]), (len(anything), 1)), anything),
        OURS_UNSEEN: measure(_ours(weights, never_again, unseen), unseen),
        ALS: measure(peer, unseen),
    }


def _ours(weights: Weights, answers: PrecomputedScores, users: dict[int, set[int]]) -> np.ndarray:
    codes = np.fromiter(users, np.int64)
    return TopKScorer(answers, weights.ensemble.calibration).top_k(codes, LIST_LENGTH)[0]


def _counts(split: Split, users: list[int]) -> np.ndarray:
    """List what each user took most often; between equals, and where it ends, what most users took."""
    rows = split.history
    matrix = sparse.csr_matrix(
        (np.ones(len(rows), np.float32), (rows.user, rows.item)), shape=(rows.num_users, rows.num_items)
    )
    popularity = _popularity(split.train)
    # Less than one purchase, and exact in single precision.
    return top(matrix[users].toarray() + popularity / (1 + popularity.max()))


def _popularity(rows: Interactions) -> np.ndarray:
    keys = np.unique(rows.user * rows.num_items + rows.item)
    return np.bincount(keys % rows.num_items, minlength=rows.num_items).astype(np.float32)
