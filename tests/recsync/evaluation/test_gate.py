"""What the gate asks of a version, and the figures in its refusals."""

from __future__ import annotations

import pytest

from recsync.evaluation.gate import Metrics, evaluate
from recsync.program import Gate, Threshold
from recsync.program.recipes import NDCG_25

MRR = "mean_reciprocal_rank_at_25"


def refusals(
    gate: Gate,
    metrics: dict[str, float],
    baseline: dict[str, float] | None = None,
    champion: Metrics | None = None,
    default: str | None = NDCG_25,
) -> list[str]:
    return evaluate(gate, Metrics(metrics, baseline), champion, default).refusals


def test_the_gate_names_figures() -> None:
    assert refusals(Gate(), {NDCG_25: 0.3}, {NDCG_25: 0.1}) == []
    assert refusals(Gate(), {NDCG_25: 0.3}) == []
    assert "0.3000" in refusals(Gate(minimum=0.4), {NDCG_25: 0.3})[0]
    assert (
        "2 times the baseline's 0.2000"
        in refusals(Gate(min_ratio_to_baseline=2), {NDCG_25: 0.3}, {NDCG_25: 0.2})[0]
    )
    assert "has no" in refusals(Gate(), {"coverage": 1.0})[0]
    assert "has no recall" in refusals(Gate(metric="recall"), {"coverage": 1.0}, default="coverage")[0]
    assert refusals(Gate(), {"coverage": 1.0}, default="coverage") == []
    assert refusals(Gate(), {"coverage": 1.0}, default=None) == []


def test_a_version_is_compared_with_the_champion() -> None:
    champion = Metrics({NDCG_25: 0.4})
    assert refusals(Gate(), {NDCG_25: 0.35}, champion=champion) == []
    assert "0.85 times the champion's 0.4000" in refusals(Gate(), {NDCG_25: 0.33}, champion=champion)[0]
    assert refusals(Gate(min_ratio_to_champion=None), {NDCG_25: 0.01}, champion=champion) == []


def test_a_chain_of_updates_does_not_go_below_what_its_full_version_allows() -> None:
    full = Metrics({NDCG_25: 0.3})
    champion, passed = full, 0
    while not (
        found := evaluate(
            Gate(), new := Metrics({NDCG_25: champion.metrics[NDCG_25] * 0.86}), champion, NDCG_25, full
        ).refusals
    ):
        champion, passed = new, passed + 1
    assert passed == 1
    assert found == [f"{NDCG_25} is 0.2219, the gate asks for 0.85 times the FULL version's 0.3000"]


def test_where_both_have_a_baseline_their_ratios_to_it_are_compared() -> None:
    champion = Metrics({NDCG_25: 0.4}, {NDCG_25: 0.2})
    # Harder held-out people: both it and its baseline have less, and it is as much better as the champion was.
    assert refusals(Gate(), {NDCG_25: 0.2}, {NDCG_25: 0.1}, champion) == []
    found = refusals(Gate(), {NDCG_25: 0.4}, {NDCG_25: 0.3}, champion)
    assert found == [
        f"{NDCG_25} is 0.4000, 1.33 times its baseline; the gate asks for 0.85 times the champion's, which is 0.4000, "
        "2.00 times its own baseline"
    ]


@pytest.mark.parametrize(("metric", "enough", "too_little"), [(MRR, 0.29, 0.27), ("coverage", 0.21, 0.19)])
def test_the_usual_further_metrics_are_compared_where_a_recipe_has_them(
    metric: str, enough: float, too_little: float
) -> None:
    champion = Metrics({NDCG_25: 0.4, metric: 0.4})
    assert refusals(Gate(), {NDCG_25: 0.4, metric: enough}, champion=champion) == []
    assert metric in refusals(Gate(), {NDCG_25: 0.4, metric: too_little}, champion=champion)[0]
    assert refusals(Gate(), {NDCG_25: 0.4}, champion=champion) == []


def test_a_metric_that_the_program_asks_for_must_be_there_and_reach_its_own_threshold() -> None:
    gate = Gate(metrics={"coverage": Threshold(minimum=0.5)})
    assert "has no coverage" in refusals(gate, {NDCG_25: 0.4})[0]
    assert "coverage is 0.4000" in refusals(gate, {NDCG_25: 0.4, "coverage": 0.4})[0]


def test_the_table_shows_all_figures_of_both_versions() -> None:
    verdict = evaluate(
        Gate(minimum=0.5), Metrics({NDCG_25: 0.3}, {NDCG_25: 0.1}), Metrics({NDCG_25: 0.31}), NDCG_25
    )
    row = verdict.table().splitlines()[2]
    assert row.startswith(f"| {NDCG_25} | 0.3000 | 0.3100 | - | 0.1000 | {NDCG_25} is 0.3000")
