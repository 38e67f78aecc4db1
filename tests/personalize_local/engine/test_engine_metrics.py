"""Check the metrics against values worked out by hand."""

from math import log2

import pytest

from personalize_local.engine.metrics import accuracy_metrics, coverage, ndcg, precision, reciprocal_rank


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
