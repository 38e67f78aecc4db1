"""Find what a campaign serves: the model, how it is to be asked, and what it is told of the user."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from personalize_local.datasets.streamed import TrainedEvents
from personalize_local.engine import Exploration, Options, Recommender
from personalize_local.errors import invalid_input
from personalize_local.operations.campaigns import served_version
from personalize_local.real_time.context import RealTime
from personalize_local.real_time.models import Model
from personalize_local.recipes import Recipe, get_recipe
from personalize_local.resources import CAMPAIGN, SOLUTION_VERSION, Resource

# Recipes whose campaigns give metadata without being asked to in campaignConfig.
_ALWAYS_WITH_METADATA = frozenset({"aws-user-personalization-v2", "aws-personalized-ranking-v2"})
# Recipes that look at what a user did just now:
# https://docs.aws.amazon.com/personalize/latest/dg/recording-events.html
_REAL_TIME_TYPES = frozenset({"USER_PERSONALIZATION", "PERSONALIZED_RANKING"})


@dataclass(frozen=True)
class Served:
    """Hold what answers the requests of a campaign now."""

    recipe: Recipe
    group_arn: str
    version: Resource
    config: dict[str, Any]
    model: Model

    @property
    def wants(self) -> str:
        """Return what the model looks at in a query."""
        return self.model.recommender.wants

    @property
    def has_metadata(self) -> bool:
        """Tell whether requests may name metadata columns."""
        enabled = self.config.get("enableMetadataWithRecommendations", False)
        return bool(enabled) or self.recipe.name in _ALWAYS_WITH_METADATA

    @property
    def options(self) -> Options:
        """Return the campaign's exploration and ranking influence."""
        exploration = None
        if self.recipe.exploration:
            config = self.config.get("itemExplorationConfig", {})
            default = Exploration()
            exploration = Exploration(
                float(config.get("explorationWeight", default.weight)),
                float(config.get("explorationItemAgeCutOff", default.item_age_cut_off_days)),
            )
        return Options(exploration, self.config.get("rankingInfluence", {}))

    @contextmanager
    def asked_for(self, around: RealTime, user_id: str | None) -> Generator[Recommender]:
        """Lend the model, which then knows what the user did since it was trained."""
        history = _streamed_history(around, self, user_id) if user_id else None
        with self.model.lock:
            known = self.model.recommender
            yield known if history is None else known.with_histories(history)


def find_served(around: RealTime, campaign_arn: str | None) -> Served:
    """Return what a campaign serves now; raise `ApiError` for one that cannot answer."""
    if campaign_arn is None:
        raise invalid_input("campaignArn is required.")
    campaign = around.find_active(CAMPAIGN, campaign_arn)
    version = around.find(SOLUTION_VERSION, served_version(around.store, campaign))
    recipe = get_recipe(version.body["recipeArn"])
    model = around.models.get(recipe.name, version.internal["model"])
    return Served(recipe, str(campaign.parent_arn), version, campaign.body["campaignConfig"], model)


def _streamed_history(around: RealTime, served: Served, user_id: str) -> pa.Table | None:
    """Return all interactions of a user who has streamed some; None when the model knows no less."""
    if served.recipe.recipe_type not in _REAL_TIME_TYPES:
        return None
    dataset = around.rows.datasets(served.group_arn).get("INTERACTIONS")
    if dataset is None or not around.rows.has_streamed(dataset, user_id):
        return None
    table = TrainedEvents.of_version(served.version.body).kept(around.rows.of_user(dataset, user_id))
    return table if table.num_rows else None
