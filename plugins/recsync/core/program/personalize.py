"""The program file: the solution and how it is asked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from recsync.core.program.events import MAX_TYPES_AND_METADATA, EventType
from recsync.core.program.section import Strict
from recsync.core.recipes import RECIPES, Recipe, solution_parameters


class Exploration(Strict):
    """``itemExplorationConfig`` of a batch inference job.

    :param weight: 0 explores nothing, 1 the most; the service's default is 0.3.
    :param item_age_cut_off_days: oldest item that may be explored; the service's default is 30 days.
    """

    weight: float = Field(default=0.3, ge=0, le=1)
    item_age_cut_off_days: float = Field(default=30.0, ge=1)


class RankingInfluence(Strict):
    """``rankingInfluence`` of a batch inference job: how much popular and fresh items are preferred, 0 to 1."""

    popularity: float = Field(default=0, ge=0, le=1)
    freshness: float = Field(default=0, ge=0, le=1)


class Campaign(Strict):
    """How a campaign is asked, for recipes without batch; it exists only while a run asks it, as it is billed so long.

    :param min_provisioned_tps: ``minProvisionedTPS``: requests per second that are paid for whether used or not.
    :param requests_per_second: at most so many are made; the service adds capacity by itself, within minutes.
    :param connections: requests under way at a time.
    """

    # 500 per campaign: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
    min_provisioned_tps: int = Field(default=1, ge=1, le=500)
    requests_per_second: float = Field(default=100, gt=0, le=500)
    connections: int = Field(default=16, ge=1, le=128)


def _text(value: object) -> object:
    return str(value) if isinstance(value, bool | int | float) else value


class Personalize(Strict):
    """The solution and how it is used.

    :param recipe: recipe name without its ARN prefix.
    :param baseline_recipe: a second solution trained by ``train_full`` on the same data, to compare with;
        None trains none. It is billed like any training.
    :param event_type: train on this event type only; None means all.
    :param event_weights: ``eventsConfig``: event types that are trained on, each with its weight from 0 to 1.
    :param hyperparameters: of the recipe; numbers and booleans are sent as texts.
    :param num_results: items asked for per user; more than are mailed, so that post-rules may drop some. Actions for
        next-best-action, users per item or expression for segment recipes. None: the recipe's default.
    """

    recipe: str = "aws-user-personalization"
    baseline_recipe: Literal["aws-popularity-count"] | None = None
    event_type: str | None = Field(default=None, max_length=256)
    event_weights: dict[EventType, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict, max_length=MAX_TYPES_AND_METADATA
    )
    hyperparameters: dict[str, Annotated[str, BeforeValidator(_text)]] = Field(default_factory=dict)
    num_results: int | None = Field(default=None, ge=1)
    exploration: Exploration = Exploration()
    ranking_influence: RankingInfluence | None = None
    campaign: Campaign = Campaign()

    @field_validator("recipe")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in RECIPES:
            raise ValueError(f"there are the recipes {', '.join(sorted(RECIPES))}")
        return value

    @property
    def traits(self) -> Recipe:
        """What the recipe can do."""
        return RECIPES[self.recipe]

    @property
    def can_update(self) -> bool:
        """Whether the recipe allows ``trainingMode=UPDATE``."""
        return self.traits.update

    @property
    def results(self) -> int:
        """How many results a question asks for."""
        return self.num_results or self.traits.default_results

    @property
    def solution_config(self) -> dict[str, Any]:
        """``solutionConfig`` of the program's solution."""
        config: dict[str, Any] = dict(solution_parameters(self.traits, self.hyperparameters))
        if self.event_weights:
            weights = [{"eventType": name, "weight": weight} for name, weight in self.event_weights.items()]
            config["eventsConfig"] = {"eventParametersList": weights}
        return config

    @property
    def job_config(self) -> dict[str, Any] | None:
        """``batchInferenceJobConfig`` of the program's jobs."""
        if self.traits.exploration:
            explore = self.exploration
            return {
                "itemExplorationConfig": {
                    "explorationWeight": f"{explore.weight:g}",
                    "explorationItemAgeCutOff": f"{explore.item_age_cut_off_days:g}",
                }
            }
        if self.ranking_influence:
            influence = self.ranking_influence
            return {
                "rankingInfluence": {"POPULARITY": influence.popularity, "FRESHNESS": influence.freshness}
            }
        return None
