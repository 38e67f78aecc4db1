"""The program file: the solution, its trainings and the gate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from recsync.core.program.section import Strict


class Exploration(Strict):
    """``itemExplorationConfig`` of a batch inference job.

    :param weight: 0 explores nothing, 1 the most; the service's default is 0.3.
    :param item_age_cut_off_days: oldest item that may be explored; the service's default is 30 days.
    """

    weight: float = Field(default=0.3, ge=0, le=1)
    item_age_cut_off_days: float = Field(default=30.0, ge=1)


class Personalize(Strict):
    """The solution and how it is used.

    :param recipe: recipe name without its ARN prefix.
    :param baseline_recipe: a second solution trained by ``train_full`` on the same data, to compare with;
        None trains none. It is billed like any training.
    :param event_type: train on this event type only; None means all.
    :param hyperparameters: ``solutionConfig.algorithmHyperParameters``.
    :param num_results: items asked for per user; more than are mailed, so that post-rules may drop some.
    """

    recipe: Literal["aws-user-personalization", "aws-popularity-count"] = "aws-user-personalization"
    baseline_recipe: Literal["aws-popularity-count"] | None = None
    event_type: str | None = Field(default=None, max_length=256)
    hyperparameters: dict[str, str] = Field(default_factory=dict)
    num_results: int = Field(default=50, ge=1, le=500)
    exploration: Exploration = Exploration()

    @property
    def can_update(self) -> bool:
        """Whether the recipe allows ``trainingMode=UPDATE`` (only this one does)."""
        return self.recipe == "aws-user-personalization"


class Gate(Strict):
    """What a new FULL version must reach before it becomes champion.

    :param metric: a key of ``GetSolutionMetrics``.
    :param minimum: lowest value accepted; None accepts any.
    :param min_ratio_to_baseline: lowest ratio to the baseline's value; used when there is a baseline.
    """

    metric: str = "normalized_discounted_cumulative_gain_at_25"
    minimum: float | None = Field(default=None, ge=0)
    min_ratio_to_baseline: float = Field(default=1.0, ge=0)


class TrainUpdate(Strict):
    """When an hourly UPDATE is worth a billed run.

    :param min_new_interactions: fewer pending rows than this wait for the next hour. The quota page of
        Amazon Personalize names 1,000 records per import job; whether it refuses fewer is not documented.
    """

    min_new_interactions: int = Field(default=1, ge=1)
