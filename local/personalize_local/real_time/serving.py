"""Find the model and options of a campaign or recommender, and fold in the streamed history of its user."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from personalize_local.datasets.training_data import TrainedEvents
from personalize_local.engine import Exploration, Options, Recommender
from personalize_local.errors import invalid_input
from personalize_local.jobs.recommenders import as_version
from personalize_local.operations.campaigns import served_version
from personalize_local.real_time.context import Model, RealTimeContext
from personalize_local.recipes import Recipe, get_recipe
from personalize_local.resources import CAMPAIGN, RECOMMENDER, SOLUTION_VERSION, Resource

# Recipes with metadata in replies even without enableMetadataWithRecommendations.
_ALWAYS_WITH_METADATA = frozenset({"aws-user-personalization-v2", "aws-personalized-ranking-v2"})
# Recipe types that use streamed events in real time:
# https://docs.aws.amazon.com/personalize/latest/dg/recording-events.html
_REAL_TIME_TYPES = frozenset({"USER_PERSONALIZATION", "PERSONALIZED_RANKING"})


@dataclass(frozen=True)
class Served:
    """The solution version and model that a campaign or recommender serves now.

    :param recipe: of the campaign's version, or the use case of the recommender.
    :param config: `campaignConfig` or `recommenderConfig`.
    """

    recipe: Recipe
    group_arn: str
    version: Resource
    config: dict[str, Any]
    model: Model

    @property
    def wants(self) -> str:
        """Return the model's kind of query."""
        return self.model.recommender.wants

    @property
    def has_metadata(self) -> bool:
        """Return whether requests can include metadata columns."""
        enabled = self.config.get("enableMetadataWithRecommendations", False)
        return bool(enabled) or self.recipe.name in _ALWAYS_WITH_METADATA

    @property
    def options(self) -> Options:
        """Return the exploration and ranking influence."""
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
    def recommender_for(self, context: RealTimeContext, user_id: str | None) -> Generator[Recommender]:
        """Lock the model and yield it with the user's streamed interactions."""
        history = _streamed_history(context, self, user_id) if user_id else None
        with self.model.lock:
            known = self.model.recommender
            yield known if history is None else known.with_histories(history)


def find_served(context: RealTimeContext, params: dict[str, Any]) -> Served:
    """Return what the campaign or recommender of a request serves now; raise `ApiError` if it is not ACTIVE."""
    campaign_arn, recommender_arn = params.get("campaignArn"), params.get("recommenderArn")
    if campaign_arn and recommender_arn:
        raise invalid_input("Give either campaignArn or recommenderArn, not both.")
    if recommender_arn:
        return _served_by_recommender(context, context.find_active(RECOMMENDER, recommender_arn))
    if campaign_arn is None:
        raise invalid_input("campaignArn is required.")
    campaign = context.find_active(CAMPAIGN, campaign_arn)
    version = context.find(SOLUTION_VERSION, served_version(context.store, campaign))
    recipe = get_recipe(version.body["recipeArn"])
    model = context.models.get(recipe.name, version.internal["model"])
    return Served(recipe, str(campaign.parent_arn), version, campaign.body["campaignConfig"], model)


def _served_by_recommender(context: RealTimeContext, recommender: Resource) -> Served:
    version, recipe = as_version(recommender), get_recipe(recommender.body["recipeArn"])
    model = context.models.get(get_recipe(version.body["recipeArn"]).name, version.internal["model"])
    return Served(recipe, str(recommender.parent_arn), version, recommender.body["recommenderConfig"], model)


def _streamed_history(context: RealTimeContext, served: Served, user_id: str) -> pa.Table | None:
    """Return all interactions of a user with streamed ones; None without any."""
    if served.recipe.recipe_type not in _REAL_TIME_TYPES:
        return None
    dataset = context.rows.datasets(served.group_arn).get("INTERACTIONS")
    if dataset is None or not context.rows.has_streamed(dataset, user_id):
        return None
    table = TrainedEvents.of_version(served.version.body).kept(context.rows.of_user(dataset, user_id))
    return table if table.num_rows else None
