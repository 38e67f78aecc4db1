"""The report of given sums: sentences, power, guardrails, days without outcomes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from recsync.experiments.report import CONVERSION, VALUE_PER_USER, LiftReport
from recsync.experiments.statistics import Moments, VarianceComponents
from recsync.lift.compare import Period, SharesSince, build_report, check_sample_ratio, empty_days
from recsync.lift.figures import ArmSums, Figures
from recsync.program.experiment import Experiment

START = datetime(2026, 9, 1, 5, tzinfo=UTC)
PERIOD = Period("run", START + timedelta(days=20), START, START + timedelta(days=20))
ARMS = {
    "recommended": {"share": 0.5, "gets": "champion"},
    "popular": {"share": 0.25, "gets": "popular"},
    "holdout": {"share": 0.25, "gets": "nothing"},
}
SHARES = [SharesSince(0, {"recommended": 0.5, "popular": 0.25, "holdout": 0.25})]


def experiment(**fields: Any) -> Experiment:
    return Experiment.model_validate({"name": "autumn", "arms": ARMS, **fields})


def sums(users: int, mean: float, converted: float = 0.1, **events: int) -> ArmSums:
    share = Moments(users, int(users * converted), converted, converted * (1 - converted))
    value = Moments(users, int(users * converted), mean, 40.0)
    recommended = Moments(users, 0, 0.0, 0.0)
    return ArmSums(0, users, value, share, recommended, users * mean, 0, events)


def figures(recommended: float = 1.2, popular: float = 1.0, **fields: Any) -> Figures:
    arms = {
        "recommended": sums(50_000, recommended, 0.11, unsubscribe=500),
        "popular": sums(25_000, popular, unsubscribe=500),
        "holdout": sums(25_000, 1.0, unsubscribe=250),
    }
    spread = VarianceComponents(0.05, 0.001, 2.0)
    made = Figures(arms, 0.0, False, spread, {}, {1: 100_000})
    return replace(made, **fields)


def made(found: Figures, **fields: Any) -> LiftReport:
    return build_report("shop", experiment(**fields), found, PERIOD, SHARES, {"rows": 1}, ())


def test_the_verdict_says_what_is_proven_of_each_arm() -> None:
    report = made(figures(recommended=1.25))
    assert report.verdict.startswith(
        "recommended is better, proven: +25.0% value per user beside holdout, between +4.4% and +45.6%; popular is not "
        "proven better or worse: +0.0% value per user beside holdout, between -21.7% and +21.7%, and a "
        "difference of 5% can be detected in about 214 more days."
    )
    assert "recommended is worse, proven: -20.0%" in made(figures(recommended=0.8)).verdict
    assert report.compared("holdout", VALUE_PER_USER) is None
    # Holm adjusts over the two arms of a metric.
    values = [each for each in report.comparisons if each.metric == VALUE_PER_USER]
    assert [each.arm for each in values] == ["recommended", "popular"]
    assert values[0].p_adjusted == pytest.approx(2 * (values[0].p_value or 0))
    assert any("2 arms are compared with holdout" in note for note in report.notes)


def test_without_values_the_verdict_is_about_conversion() -> None:
    arms = {
        "recommended": sums(60_000, 0.0, 0.12),
        "popular": sums(30_000, 0.0),
        "holdout": sums(30_000, 0.0),
    }
    report = made(figures(arms=arms, spread=None))
    assert report.verdict.startswith("recommended is better, proven: +20.0% conversion beside holdout")
    assert report.power.days_needed is None
    assert "not known yet" in report.power.note
    share = report.compared("recommended", CONVERSION)
    assert share is not None
    assert share.is_better


def test_a_guardrail_is_broken_by_a_proven_rise_above_its_limit() -> None:
    report = made(figures(), guardrails={"unsubscribe": 0.5, "complaint": 0.5})
    assert [(g.event, g.arm, g.broken) for g in report.guardrails] == [
        ("unsubscribe", "recommended", False),
        ("unsubscribe", "popular", True),
        ("complaint", "recommended", False),
        ("complaint", "popular", False),
    ]
    assert report.guardrails[1].relative == pytest.approx(1.0)
    assert report.verdict.endswith("Guardrails are broken: unsubscribe in popular.")
    # A rise that the program allows is none, however certain.
    assert not any(g.broken for g in made(figures(), guardrails={"unsubscribe": 1.5}).guardrails)


def test_power_says_how_long_or_that_it_is_never() -> None:
    report = made(figures(), effect=0.2, pre_days=0)
    power = report.power
    assert power.days_needed
    assert power.users_needed
    assert power.horizon_days == 28
    assert power.days_left == max(power.days_needed - 20, 0)
    assert "between popular and holdout" in power.note
    # People who buy more for good are not averaged out by more days.
    never = made(figures(spread=VarianceComponents(0.05, 0.5, 2.0)), effect=0.01, pre_days=0).power
    assert never.days_needed is never.days_left is None
    assert "cannot reliably detect a difference of 1%" in never.note
    assert never.users_needed
    assert never.users_needed > 100_000


def test_the_observed_interval_corrects_the_days() -> None:
    """The pre-period predicts twice the observed variance."""
    spread = VarianceComponents(0.05, 0.001, 4.0)
    found = figures(spread=spread)
    observed = found.arms["popular"].value.variance
    expected = 20**2 * spread.unexplained(20, 0) / (20 * spread.mean) ** 2
    days = made(found, effect=0.2, pre_days=0).power.days_needed
    plain = spread.days_needed(0.2, 0, 25_000, 25_000)
    scaled = spread.days_needed(0.2, 0, 25_000, 25_000, observed / expected)
    assert plain
    assert days
    assert scaled
    assert abs(days - scaled) <= 1
    assert plain - days > 3


def test_a_mismatch_is_all_that_is_said() -> None:
    found = figures(enrolled={1: 100_000})
    found = replace(found, arms={**found.arms, "popular": sums(24_000, 1.0)})
    report = made(replace(found, enrolled={1: 99_000}))
    assert report.ratio.mismatch
    assert report.verdict.startswith("Do not use the figures of autumn")


def test_people_are_expected_by_the_shares_of_their_time() -> None:
    changed = [*SHARES, SharesSince(100, {"recommended": 0.25, "popular": 0.25, "holdout": 0.5})]
    ratio = check_sample_ratio(figures(enrolled={1: 75_000, 100: 100_000}), changed)
    assert ratio.expected == {"recommended": 50_000, "popular": 50_000, "holdout": 75_000}


def test_days_without_outcomes_are_told_when_days_have_many() -> None:
    first = (START.date() - datetime(1970, 1, 1).date()).days
    usual = {first + n: 100 for n in range(20)}
    assert empty_days(usual, PERIOD) == []
    (told,) = empty_days({**usual, first + 4: 0, first + 19: 3}, PERIOD)
    assert "2026-09-05 (0), 2026-09-20 (3); 100 are usual" in told
    # The days of the start and of the report are not whole; few rows vary by themselves.
    assert empty_days({**usual, first: 0, first + 20: 0}, PERIOD) == []
    assert empty_days({first + n: 5 for n in range(0, 20, 2)}, PERIOD) == []
