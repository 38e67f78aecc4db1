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

    Pending rows wait until there are enough of them, or until the oldest of them has waited long enough. One import
    takes at most 1 GB of each dataset, the service's limit for an INCREMENTAL import: what is more waits for the next
    run, oldest first, and an interval that alone is larger waits for the next FULL.

    :param min_new_interactions: fewer pending rows than this wait. The quota page of Amazon Personalize names 1,000
        records as the least an import job takes; whether it refuses fewer is not documented.
    :param max_wait_hours: rows whose interval ended longer ago than this wait no more; None lets them wait for ever.
    """

    min_new_interactions: int = Field(default=1000, ge=1)
    max_wait_hours: float | None = Field(default=24.0, gt=0)


class TrainFull(Strict):
    """What a FULL training imports.

    FULL and INCREMENTAL imports share the work by size and by age. What is new since the last FULL, and what arrived
    late for the last intervals before it, goes in hourly and in small imports. What arrived later than that, was
    changed or deleted, or is larger than an INCREMENTAL import may be, reaches the service with the next FULL, which
    replaces everything. Users and items are always read as a snapshot, and imported only when they changed.

    :param import_from: ``snapshot`` queries all interactions anew. ``intervals`` spares the warehouse that query: it
        imports the objects of all published intervals together, up to the newest; a gap between them is an error. Rows
        that were changed or deleted in the warehouse after their interval's last export stay as they were.
    """

    import_from: Literal["snapshot", "intervals"] = "snapshot"
