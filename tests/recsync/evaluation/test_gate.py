"""What the gate asks of a version, and the figures in its refusals."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from stage_shop import NDCG, SOLUTION_ARN, StageShop

from recsync.errors import PromotionRefusedError
from recsync.evaluation.comparison import best
from recsync.evaluation.gate import Metrics, OnlineResult, evaluate, of_challenger, of_retraining
from recsync.evaluation.promotion import evaluate_version
from recsync.evaluation.store import Candidate, Comparison, ComparisonStore
from recsync.experiments.report import ComparedArm, Guardrail, LiftReport
from recsync.experiments.store import LiftStore
from recsync.program import Experiment, Gate, OnlineGate, Threshold
from recsync.program.recipes import NDCG_25

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))
from lift_samples import sample_report

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


NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)
ARMS = {
    "recommended": {"share": 0.8, "gets": "champion"},
    "sims": {"share": 0.1, "gets": {"challenger": "sims"}},
    "holdout": {"share": 0.1, "gets": "nothing"},
}
FIELDS: dict[str, Any] = {"name": "autumn", "layer": "mail", "arms": ARMS}
EXPERIMENT = Experiment.model_validate(FIELDS)
GATE = OnlineGate()


def compared(arm: str, control: str, low: float, high: float) -> ComparedArm:
    middle = (low + high) / 2
    return ComparedArm(
        arm, control, "value_per_user", "value per user", middle, middle, low, high, 0.01, low, high, low, high,
        0.0, 0.01, low, high,
    )  # fmt: skip


def report(*comparisons: ComparedArm, **fields: Any) -> LiftReport:
    return replace(sample_report(), comparisons=comparisons, **fields)


def challenger(found: LiftReport | None, gate: OnlineGate = GATE, now: datetime = NOW) -> OnlineResult:
    return of_challenger(gate, EXPERIMENT, found, "sims", now)


def test_a_challenger_passes_when_its_arm_is_proven_better_than_the_champions() -> None:
    beside_holdout = compared("sims", "holdout", 0.1, 0.3)
    proven = report(beside_holdout, compared("sims", "recommended", 0.01, 0.09))
    passed = challenger(proven)
    assert passed.refusal == ""
    assert (
        passed.note
        == "sims has +5.0% value per user beside recommended, between +1.0% and +9.0% after 30 days"
    )
    asked = challenger(proven, OnlineGate(min_relative=0.02)).refusal
    assert asked.startswith("gate.online asks for more than +2.0% proven, and sims has +5.0%")
    # Better than nothing is not better than the champion.
    unproven = report(beside_holdout, compared("sims", "recommended", -0.01, 0.09))
    assert "between -1.0% and +9.0%" in challenger(unproven).refusal
    allowed = OnlineGate(min_relative=-0.02)
    assert challenger(unproven, allowed).refusal == "", "not much worse is enough where the program says so"


def test_where_no_arm_gets_the_champion_the_control_counts() -> None:
    arms = {name: arm for name, arm in ARMS.items() if name != "recommended"}
    experiment = Experiment.model_validate({**FIELDS, "arms": arms})
    found = report(compared("sims", "holdout", 0.01, 0.3))
    assert of_challenger(GATE, experiment, found, "sims", NOW).refusal == ""


@pytest.mark.parametrize(
    ("found", "now", "told"),
    [
        (None, NOW, "has no report of lift yet; run the program's DAG lift"),
        (report(), NOW + timedelta(days=3), "is 3.5 days old, and gate.online.max_age_days is 3; run"),
        (
            report(),
            NOW,
            "too few people converted to compare the value per user of sims with that of recommended",
        ),
        (
            report(ratio=replace(sample_report().ratio, mismatch=True)),
            NOW,
            "do not match its shares",
        ),
        (
            report(
                compared("sims", "recommended", 0.1, 0.2),
                guardrails=(Guardrail("unsubscribe", "sims", 0.2, 0.1, 1.0, 0.5, 1.5, 0.2, True),),
            ),
            NOW,
            "in arm sims the guardrail is broken of unsubscribe",
        ),
    ],
)
def test_without_proof_a_challenger_is_refused_and_told_what_to_do(
    found: LiftReport | None, now: datetime, told: str
) -> None:
    assert told in challenger(found, now=now).refusal


@pytest.mark.parametrize("experiment", [None, EXPERIMENT])
def test_a_challenger_without_an_arm_is_told_how_to_get_one(experiment: Experiment | None) -> None:
    refusal = of_challenger(GATE, experiment, report(), "rival", NOW).refusal
    assert "experiment.arms.rival: {share: 0.1, gets: {challenger: rival}}" in refusal


def test_a_retraining_is_refused_only_when_its_arm_is_proven_worse() -> None:
    def asked(
        found: LiftReport | None, now: datetime = NOW, experiment: Experiment = EXPERIMENT
    ) -> OnlineResult:
        return of_retraining(GATE, experiment, found, now)

    worse = asked(report(compared("recommended", "holdout", -0.2, -0.05)))
    assert (
        "arm recommended, which gets the champion, is proven worse than holdout in value per user"
        in worse.refusal
    )
    assert "at best -5.0% after 30 days" in worse.refusal
    even = asked(report(compared("recommended", "holdout", -0.2, 0.05)))
    assert (even.refusal, even.note) == ("", "gate.online: recommended is not proven worse than holdout.")
    for unknown in (asked(None), asked(report(), NOW + timedelta(days=9))):
        assert unknown.refusal == ""
        assert unknown.note.startswith("gate.online was not asked: ")
    itself = Experiment.model_validate({**FIELDS, "control": "recommended"})
    assert asked(report(), experiment=itself).note.endswith("nothing says whether it got worse.")
    assert of_retraining(GATE, None, None, NOW).refusal == ""


def test_proof_goes_before_offline_figures_and_the_champions_solution_before_the_others() -> None:
    def candidate(name: str, solution: str, ndcg: float, *against: str) -> Candidate:
        return Candidate(name, "recipe", f"arn/{solution}/1", {NDCG: ndcg}, {}, against)

    own, sims, rival = (
        candidate("", "own", 0.5),
        candidate("sims", "sims", 0.3),
        candidate("rival", "rival", 0.6),
    )
    unproven = replace(rival, refusals=("gate.online",))
    assert best([own, sims, unproven], NDCG, "arn/own") is sims
    assert best([own, replace(sims, refusals=("x",)), unproven], NDCG, "arn/own") is own
    assert best([own, sims, unproven], NDCG, "arn/sims") is sims, "the champion's solution is renewed"
    assert best([own, sims, rival], NDCG, "arn/sims") is rival
    assert best([own, sims, unproven], NDCG) is own


def test_the_evaluation_asks_the_newest_report_of_the_experiment(stage_shop: StageShop) -> None:
    (stage_shop.include / "sql/shop/outcomes.sql").write_text("SELECT 1")
    context = stage_shop.write(
        experiment=FIELDS,
        gate={"online": {}},
        personalize={
            "challengers": {"sims": {"recipe": "aws-user-personalization-v2"}},
            "promote_best": True,
        },
    )
    stage_shop.promote("1")
    rival = f"{SOLUTION_ARN}-other/1"
    candidates = (Candidate("sims", "recipe", rival, {NDCG: 0.6}, {}),)
    context.store(ComparisonStore).write(Comparison("20261001T000000-r", "2026", NDCG, "sims", candidates))

    def evaluate(arn: str) -> dict[str, Any]:
        return evaluate_version("shop", f"run {arn}", arn, "FULL", {NDCG: 0.6}, None)

    with pytest.raises(PromotionRefusedError, match="experiment autumn has no report of lift yet"):
        evaluate(rival)
    # The program's own retraining only says so.
    assert "gate.online was not asked" in evaluate(f"{SOLUTION_ARN}/2")["table"]
    now = datetime.now(UTC).isoformat()
    found = report(
        compared("sims", "recommended", 0.01, 0.09), compared("recommended", "holdout", -0.2, -0.1), at=now
    )
    context.store(LiftStore).write(found)
    assert "sims has +5.0% value per user beside recommended" in evaluate(rival)["table"]
    with pytest.raises(PromotionRefusedError, match="is proven worse than holdout"):
        evaluate(f"{SOLUTION_ARN}/3")
