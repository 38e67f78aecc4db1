"""The program file: what solutions train on, when they are trained and tuned, and what a version must reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from recsync.program.data import MAX_TYPES_AND_METADATA, EventType
from recsync.program.recipes import RECIPES, Recipe, solution_parameters
from recsync.program.section import Strict, matching, one_of

# https://docs.aws.amazon.com/personalize/latest/dg/API_TrainingDataConfig.html
_MAX_DATASETS, _MAX_COLUMNS = 3, 50
ColumnName = Annotated[
    str,
    matching(
        r"^[A-Za-z_][A-Za-z\d_]{0,149}$",
        "be the name of a column of the schema: at most 150 letters, digits and _, no digit first",
    ),
]
Columns = Annotated[
    dict[
        Literal["interactions", "users", "items"],
        Annotated[tuple[ColumnName, ...], Field(max_length=_MAX_COLUMNS)],
    ],
    Field(max_length=_MAX_DATASETS),
]


class Objective(Strict):
    """``optimizationObjective``: what is to be maximised beside relevance.

    :param item_attribute: numeric column of the Items dataset, never null.
    :param sensitivity: how much it counts.
    """

    item_attribute: str = Field(min_length=1, max_length=150)
    sensitivity: Literal["OFF", "LOW", "MEDIUM", "HIGH"] = "MEDIUM"


def _text(value: object) -> object:
    return str(value) if isinstance(value, bool | int | float) else value


class Solution(Strict):
    """What a solution is made of.

    https://docs.aws.amazon.com/personalize/latest/dg/API_SolutionConfig.html

    :param recipe: recipe name without its ARN prefix.
    :param event_type: train on this event type only; None means all.
    :param event_weights: ``eventsConfig``: event types that are trained on, each with its weight from 0 to 1.
    :param hyperparameters: of the recipe; numbers and booleans are sent as texts.
    :param excluded_columns: ``trainingDataConfig``: columns that are not trained on, by dataset.
    :param included_columns: the same the other way round: no other columns are trained on.
    :param optimization_objective: None recommends by relevance alone.
    """

    recipe: str = "aws-user-personalization"
    event_type: str | None = Field(default=None, max_length=256)
    event_weights: dict[EventType, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict, max_length=MAX_TYPES_AND_METADATA
    )
    hyperparameters: dict[str, Annotated[str, BeforeValidator(_text)]] = Field(default_factory=dict)
    excluded_columns: Columns = Field(default_factory=dict)
    included_columns: Columns = Field(default_factory=dict)
    optimization_objective: Objective | None = None

    @field_validator("recipe")
    @classmethod
    def _known(cls, value: str) -> str:
        return one_of(value, tuple(sorted(RECIPES)), "recipe")

    @property
    def traits(self) -> Recipe:
        """What the recipe can do."""
        return RECIPES[self.recipe]

    @property
    def solution_config(self) -> dict[str, Any]:
        """``solutionConfig`` as the file alone makes it."""
        return self.config({})

    def config(self, pinned: Mapping[str, str]) -> dict[str, Any]:
        """Make ``solutionConfig``.

        :param pinned: hyperparameters that a tuning found; those of the file go before.
        """
        config: dict[str, Any] = dict(solution_parameters(self.traits, {**pinned, **self.hyperparameters}))
        if self.event_weights:
            weights = [{"eventType": name, "weight": weight} for name, weight in self.event_weights.items()]
            config["eventsConfig"] = {"eventParametersList": weights}
        if columns := self._columns:
            config["trainingDataConfig"] = columns
        if objective := self.optimization_objective:
            config["optimizationObjective"] = {
                "itemAttribute": objective.item_attribute,
                "objectiveSensitivity": objective.sensitivity,
            }
        return config

    @property
    def _columns(self) -> dict[str, dict[str, list[str]]]:
        return {
            member: {dataset.upper(): list(columns) for dataset, columns in named.items()}
            for member, named in (
                ("excludedDatasetColumns", self.excluded_columns),
                ("includedDatasetColumns", self.included_columns),
            )
            if named
        }


class TrainUpdate(Strict):
    """When an hourly UPDATE is worth a billed run.

    Pending rows wait until there are new items or enough interactions among them, or until the oldest of them has
    waited long enough. Each dataset is imported on its own: items and users need no interactions, and interactions go
    only when 1,000 or more are pending, the service's minimum per import job; fewer wait for more or for the next FULL.
    One import takes at most 1 GB of each dataset, the service's limit for an INCREMENTAL import: what is more waits for
    the next run, oldest first, and an interval that alone is larger waits for the next FULL.

    :param min_new_interactions: so many pending interactions are worth a run. Less than 1,000 counts as 1,000.
    :param min_new_items: as many new items are worth a run, however few the interactions; what an UPDATE brings is new
        items. Counted where the program has an Items dataset; None: new items are no reason.
    :param max_wait_hours: rows that can be imported and whose interval ended longer ago than this wait no more; None
        lets them wait for ever.
    """

    min_new_interactions: int = Field(default=1000, ge=1)
    min_new_items: int | None = Field(default=1, ge=1)
    max_wait_hours: float | None = Field(default=24.0, gt=0)


class Drift(Strict):
    """What makes a FULL training that the schedule does not ask for.

    :param new_items_share: of the interactions since the last FULL, the share with items it did not know.
    :param growth: interactions since the last FULL, as a share of those it trained on.
    :param metric_drop: how far the champion's figure may lie below the last FULL version's, as a share of it.
    :param min_interactions: fewer than these since the last FULL say nothing.
    :param min_days_between: after a FULL run, promoted or not, drift starts none for so many days.
    """

    new_items_share: float | None = Field(default=0.25, gt=0, le=1)
    growth: float | None = Field(default=1.0, gt=0)
    metric_drop: float | None = Field(default=0.2, gt=0, lt=1)
    min_interactions: int = Field(default=1000, ge=1)
    min_days_between: float = Field(default=2.0, ge=0.5)


class TrainFull(Strict):
    """What a FULL training imports.

    FULL and INCREMENTAL imports share the work by size and by age. What is new since the last FULL, and what arrived
    late for the last intervals before it, goes in hourly and in small imports. What arrived later than that, was
    changed or deleted, or is larger than an INCREMENTAL import may be, reaches the service with the next FULL, which
    replaces everything. Users and items are always read as a snapshot, and imported only when they changed.

    A run of the schedule skips when fewer interactions came since the last FULL than are asked for; a run that a person
    starts never does.

    :param import_from: ``snapshot`` queries all interactions anew. ``intervals`` spares the warehouse that query: it
        imports the objects of all published intervals together, up to the newest; a gap between them is an error. Rows
        that were changed or deleted in the warehouse after their interval's last export stay as they were.
    :param min_new_interactions: fewer in the intervals published since the last FULL make a scheduled run skip.
    :param drift: trains FULL before the schedule does when the data or the champion's figure drifted; None never does.
        Looked for by ``train_update``.
    """

    import_from: Literal["snapshot", "intervals"] = "snapshot"
    min_new_interactions: int = Field(default=1, ge=0)
    drift: Drift | None = None


# https://docs.aws.amazon.com/personalize/latest/dg/API_HPOResourceConfig.html
_MOST_JOBS, _MOST_AT_ONCE = 40, 10


class Tuning(Strict):
    """Hyperparameter optimisation (``performHPO``), now and then, in a DAG of its own.

    What it finds is pinned into later FULL trainings until the next tuning.

    :param max_training_jobs: sets of hyperparameters that are tried; each is billed as a training.
    :param max_parallel_training_jobs: of those, trained at a time.
    :param ranges: tunable hyperparameters to search: lowest and highest of a number, or the words to try. Those that
        are not named keep their value. Empty: all that the recipe can tune and ``hyperparameters`` does not fix, over
        their whole range.
    :param min_ratio_to_champion: what is found is pinned only when its figure is at least so many times the champion's.
    """

    max_training_jobs: int = Field(default=10, ge=1, le=_MOST_JOBS)
    max_parallel_training_jobs: int = Field(default=5, ge=1, le=_MOST_AT_ONCE)
    ranges: dict[str, tuple[bool | int | float | str, ...]] = Field(default_factory=dict)
    min_ratio_to_champion: float = Field(default=1.0, ge=0)


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
