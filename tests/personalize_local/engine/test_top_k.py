"""Check the search for the best items against sorting everything."""

import numpy as np
import pyarrow as pa
import pytest

from personalize_local.engine.ensemble import Calibration
from personalize_local.engine.precomputed import PrecomputedScores
from personalize_local.engine.top_k import TopKScorer


def some_answers(num_users: int, num_items: int) -> PrecomputedScores:
    random = np.random.default_rng(num_items)
    own = [np.sort(random.choice(num_items, 7, replace=False)) for _ in range(num_users)]
    bias = random.normal(-4, 1, num_items).astype(np.float32)
    bias[::11] = -np.inf  # items that cannot be discovered
    return PrecomputedScores(
        user_ids=pa.array([f"u{user}" for user in range(num_users)]),
        indptr=np.arange(num_users + 1) * 7,
        own_item=np.concatenate(own),
        own_score=random.normal(-1, 1, 7 * num_users).astype(np.float32),
        vector=random.normal(size=(num_users, 5)).astype(np.float32),
        bias=random.normal(size=num_users).astype(np.float32),
        checksum=np.zeros(num_users, dtype=np.uint64),
        item_vector=random.normal(size=(num_items, 5)).astype(np.float32),
        item_bias=bias,
    )


def by_sorting(answers: PrecomputedScores, bend: Calibration, user: int) -> tuple[list[int], list[float]]:
    product = answers.item_vector.astype(np.float64) @ answers.vector[user].astype(np.float64)
    scores = (product + answers.item_bias + answers.bias[user]).astype(np.float32)
    scores = np.where(scores > bend.knee, bend.knee + bend.slope * (scores - bend.knee), scores)
    mine = slice(answers.indptr[user], answers.indptr[user + 1])
    scores[answers.own_item[mine]] = answers.own_score[mine]
    odds = np.exp(scores.astype(np.float64))
    order = np.argsort(-scores, kind="stable")
    order = order[np.isfinite(scores[order])]
    return order.tolist(), (odds[order] / odds.sum()).tolist()


@pytest.mark.parametrize("num_items", [9, 128, 1_000, 4_000])
@pytest.mark.parametrize("num_results", [1, 25, 500])
def test_the_best_items_are_those_that_sorting_puts_first(num_items, num_results):
    answers, bend = some_answers(150, num_items), Calibration(-3.0, 0.5)
    users = np.arange(150)
    items, scores = TopKScorer(answers, bend).top_k(users, num_results)
    for user in users:
        expected, odds = by_sorting(answers, bend, user)
        found = [item for item in items[user].tolist() if item >= 0]
        assert found == expected[:num_results]
        assert scores[user][: len(found)] == pytest.approx(odds[: len(found)], rel=1e-4)
        assert not scores[user][len(found) :].any()


def test_nobody_s_list_hangs_on_the_others():
    answers = some_answers(300, 2_000)
    scorer = TopKScorer(answers, Calibration())
    together = scorer.top_k(np.arange(300), 25)
    for user in (0, 127, 128, 299):
        alone = scorer.top_k(np.array([user]), 25)
        assert (alone[0][0] == together[0][user]).all()
        assert (alone[1][0] == together[1][user]).all()
