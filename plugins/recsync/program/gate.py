"""The program file: what a solution version must reach before it becomes champion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from recsync.program.section import Strict


class Threshold(Strict):
    """What is asked of one metric; a field without a value asks for nothing.

    :param minimum: lowest value accepted.
    :param min_ratio_to_baseline: lowest ratio to the value of the baseline trained on the same data.
    :param min_ratio_to_champion: lowest ratio to the champion's value, or, where both have a baseline of their own
        data, of the ratios to it.
    """

    minimum: float | None = Field(default=None, ge=0)
    min_ratio_to_baseline: float | None = Field(default=None, ge=0)
    min_ratio_to_champion: float | None = Field(default=None, ge=0)


# The figures of two trainings differ by whom they were measured on. Of 250 held-out people NDCG at 25 moves by about
# 8 % from draw to draw (the sample's households), precision and MRR by more; a worse model loses far more.
_FURTHER = {
    "mean_reciprocal_rank_at_25": Threshold(min_ratio_to_champion=0.7),
    "precision_at_25": Threshold(min_ratio_to_champion=0.7),
    "coverage": Threshold(min_ratio_to_champion=0.5),
}


class Gate(Strict):
    """What a solution version must reach before it becomes champion.

    :param metric: a key of ``GetSolutionMetrics``; None: NDCG at 25 or the recipe's own, if one is known.
    :param minimum: lowest value accepted; None accepts any.
    :param min_ratio_to_baseline: lowest ratio to the baseline's value; used when there is a baseline.
    :param min_ratio_to_champion: lowest ratio to the champion's value, or, where both have a baseline of their own
        data, of the ratios to it; None: the champion is not compared with, by any metric that is not in ``metrics``.
    :param metrics: further metrics, each with its thresholds. Without them MRR and precision at 25 must reach 0.7,
        and coverage 0.5 times the champion's.
    :param approval: ask a person in the Airflow UI before a version that passes becomes champion: ``full`` before
        those of FULL trainings, ``always`` before each.
    :param approval_hours: the champion stays when nobody has answered by then.
    """

    metric: str | None = None
    minimum: float | None = Field(default=None, ge=0)
    min_ratio_to_baseline: float = Field(default=1.0, ge=0)
    min_ratio_to_champion: float | None = Field(default=0.85, ge=0)
    metrics: dict[str, Threshold] = Field(default_factory=dict)
    approval: Literal["never", "full", "always"] = "never"
    approval_hours: float = Field(default=24.0, gt=0)

    @property
    def threshold(self) -> Threshold:
        """What is asked of the metric itself."""
        return Threshold(
            minimum=self.minimum,
            min_ratio_to_baseline=self.min_ratio_to_baseline,
            min_ratio_to_champion=self.min_ratio_to_champion,
        )

    def further(self, metric: str | None) -> Mapping[str, Threshold]:
        """Give the thresholds of the metrics beside the gate's own."""
        usual = {} if self.min_ratio_to_champion is None else _FURTHER
        return {name: asked for name, asked in {**usual, **self.metrics}.items() if name != metric}

    def asks_a_person(self, training_mode: str) -> bool:
        """Tell whether a version of this training mode waits for an approval."""
        return self.approval == "always" or (self.approval == "full" and training_mode == "FULL")
