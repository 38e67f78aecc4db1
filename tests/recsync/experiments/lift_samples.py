"""A lift report for tests."""

from __future__ import annotations

from recsync.experiments.report import (
    ArmFigures,
    ComparedArm,
    Guardrail,
    LiftReport,
    Power,
    SampleRatio,
)


def sample_report() -> LiftReport:
    """Return the report of an experiment with one arm beside a holdout."""
    return LiftReport(
        program="shop",
        experiment="autumn",
        layer="mail",
        run="20261001T000000-x",
        at="2026-10-01T00:00:00+00:00",
        since="2026-09-01T00:00:00+00:00",
        until="2026-10-01T00:00:00+00:00",
        days=30.0,
        control="holdout",
        window_days=7,
        arms=(
            ArmFigures("recommended", "champion", 0.9, 9000, 3, 8900, 900, 0.1, 9450.0, 1.05, 120),
            ArmFigures("holdout", "nothing", 0.1, 1000, 0, 0, 99, 0.099, 1000.0, 1.0, 0),
        ),
        comparisons=(
            ComparedArm(
                "recommended", "holdout", "value_per_user", "value per user",
                0.05, 0.05, 0.02, 0.08, 0.001, 0.01, 0.09, 0.02, 0.08, 0.4, 0.001, 0.01, 0.09,
            ),
        ),
        ratio=SampleRatio(
            {"recommended": 9002.7, "holdout": 1000.3}, {"recommended": 9003, "holdout": 1000}, 0.99, False
        ),
        power=Power(0.05, 20000, 28, 0, "A relative effect of 5% can be seen now.", 28),
        guardrails=(Guardrail("unsubscribe", "recommended", 0.01, 0.01, 0.0, None, None, 0.2, False),),
        verdict="recommended earns 5% more per user than holdout.",
        outcomes={"rows": 1200},
        notes=("One day had no outcomes.",),
    )  # fmt: skip
