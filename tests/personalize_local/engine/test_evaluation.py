"""Test the split against the service's description, and the metrics against values computed by hand."""

from math import log2

import numpy as np
import pytest
from engine_data import shop, shuffled, table
from hypothesis import given, settings
from hypothesis import strategies as st

from personalize_local.engine.evaluation import (
    accuracy_metrics,
    coverage,
    ndcg,
    newest_rows,
    precision,
    reciprocal_rank,
    split_users,
)
from personalize_local.engine.inputs import TrainingData
from personalize_local.engine.interactions import encode


def keys(part) -> set[tuple[int, int, int]]:
    return set(zip(part.user.tolist(), part.time.tolist(), part.item.tolist(), strict=True))


def test_a_tenth_of_the_users_is_held_out_and_no_row_is_lost():
    whole = encode(shop())
    split = split_users(whole)
    held_out = set(split.labels.user.tolist())
    assert len(held_out) == 12
    assert held_out == set(split.history.user.tolist())
    assert not held_out & set(split.train.user.tolist())
    assert keys(split.train) | keys(split.history) | keys(split.labels) == keys(whole)
    assert len(split.train) + len(split.history) + len(split.labels) == len(whole)


def test_labels_are_the_newest_tenth_of_each_user():
    split = split_users(encode(shop()))
    for user in np.unique(split.labels.user):
        labels = split.labels.time[split.labels.user == user]
        history = split.history.time[split.history.user == user]
        assert len(labels) == int(np.ceil((len(labels) + len(history)) / 10))
        assert labels.min() >= history.max()


@given(rows=st.integers(1, 400))
@settings(max_examples=60, deadline=None)
def test_a_tenth_is_rounded_up_and_at_least_one(rows):
    data = TrainingData(table([("u", f"i{place}", place) for place in range(rows)]))
    assert int(newest_rows(encode(data)).sum()) == max(1, -(-rows // 10))


def test_the_same_users_whatever_the_order_or_the_other_columns():
    data = shuffled(shop())
    events = data.interactions.append_column("EVENT_TYPE", [["buy"] * data.interactions.num_rows])
    one = split_users(encode(shop()))
    other = split_users(encode(TrainingData(events, data.items)))
    assert keys(one.labels) == keys(other.labels)


def test_users_of_one_row_are_not_asked_for():
    data = TrainingData(table([(f"u{user}", "i", user) for user in range(50)]))
    split = split_users(encode(data))
    assert len(split.labels) == len(split.history) == 0
    assert len(split.train) == 45


@pytest.mark.parametrize("num_users", [1, 2, 5, 25, 109])
def test_somebody_is_left_to_train_on(num_users):
    data = TrainingData(
        table([(f"u{user}", f"i{item}", item) for user in range(num_users) for item in (1, 2)])
    )
    split = split_users(encode(data))
    assert len(split.train) >= 2
    assert len(np.unique(split.labels.user)) == min(max(1, round(num_users / 10)), num_users - 1)


def test_the_developer_guide_s_example():
    hits = [False, True, False, False, True]
    assert ndcg(hits, 2, 5) == pytest.approx(0.6241, abs=5e-5)
    assert precision(hits, 5) == pytest.approx(0.4)
    assert reciprocal_rank(hits) == pytest.approx(0.5)


def test_cut_offs_apply():
    hits = [False] * 5 + [True]
    assert ndcg(hits, 1, 5) == 0
    assert ndcg(hits, 1, 10) == pytest.approx(1 / log2(7))
    assert precision(hits, 5) == 0
    assert reciprocal_rank([False] * 25 + [True]) == 0


def test_more_relevant_items_than_places_can_still_be_perfect():
    assert ndcg([True] * 5, 40, 5) == pytest.approx(1)


def test_short_lists_pay_in_precision():
    assert precision([True, True], 5) == pytest.approx(0.4)


def test_metrics_are_means_over_users():
    metrics = accuracy_metrics([(["a", "b"], {"b"}), (["a", "b"], {"c"})])
    assert metrics["mean_reciprocal_rank_at_25"] == pytest.approx(0.25)
    assert metrics["precision_at_5"] == pytest.approx(0.1)
    assert metrics["normalized_discounted_cumulative_gain_at_25"] == pytest.approx(0.5 / log2(3))


def test_without_users_metrics_are_0():
    assert set(accuracy_metrics([]).values()) == {0.0}


def test_coverage_counts_distinct_items():
    assert coverage([["a", "b"], ["b", "c"]], 12) == pytest.approx(0.25)
