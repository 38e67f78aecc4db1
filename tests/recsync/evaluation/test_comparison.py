"""Who of several solutions is the best, and how they are shown."""

from __future__ import annotations

from recsync.evaluation.comparison import best, refusals, table
from recsync.evaluation.gate import Metrics
from recsync.evaluation.store import Candidate
from recsync.program import Gate

NDCG = "normalized_discounted_cumulative_gain_at_25"


def candidate(name: str, ndcg: float | None, *against: str) -> Candidate:
    metrics = None if ndcg is None else {NDCG: ndcg}
    return Candidate(name, "aws-user-personalization", "arn", metrics, {}, against)


def test_the_best_is_chosen_among_those_that_pass() -> None:
    own, better, barred = candidate("", 0.2), candidate("b", 0.3), candidate("c", 0.4, "coverage is 0")
    failed = candidate("d", None, "its training failed")
    assert best([own, better, barred, failed], NDCG) is better
    assert best([own, barred, failed], NDCG) is own
    assert best([candidate("", 0.1, "too low"), barred], NDCG).name == "", (
        "the own one is judged, and refused"
    )
    assert best([own, candidate("b", 0.2)], NDCG) is own, "equals do not replace it"


def test_the_gate_is_asked_with_the_baseline_of_the_same_data() -> None:
    baseline, champion = {NDCG: 0.2}, Metrics({NDCG: 0.3}, {NDCG: 0.2})
    assert refusals(Gate(), {NDCG: 0.29}, baseline, champion, NDCG) == ()
    assert len(refusals(Gate(), {NDCG: 0.1}, baseline, champion, NDCG)) == 1
    assert refusals(Gate(), None, baseline, champion, NDCG) == ("its training failed",)


def test_the_table_has_a_column_each_and_says_what_is_missing() -> None:
    lines = table([candidate("", 0.25), candidate("rival", None)], {NDCG: 0.125}).splitlines()
    assert lines[0] == "| metric | own | rival | baseline |"
    assert lines[-1] == f"| {NDCG} | 0.2500 | - | 0.1250 |"
