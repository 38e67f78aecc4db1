"""The program file: what a solution trains on, and how."""

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
