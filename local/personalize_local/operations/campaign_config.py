"""Check what a campaign asks for against its recipe.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_CampaignConfig.html
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from personalize_local.context import Params
from personalize_local.errors import invalid_input
from personalize_local.recipes import Recipe

# Ranges: https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-new-item-USER_PERSONALIZATION.html
_EXPLORATION = {"explorationWeight": (0.0, 1.0), "explorationItemAgeCutOff": (1.0, math.inf)}
_WITH_RANKING_INFLUENCE = "aws-semantic-similarity"
LATEST = "/$LATEST"


def check_campaign_config(config: Params, recipe: Recipe, *, names_latest: bool) -> None:
    """Raise InvalidInputException for a setting that the recipe does not have, or that is out of range.

    :param names_latest: the request names its solution version as `SolutionArn/$LATEST`.
    """
    if recipe.recipe_type == "USER_SEGMENTATION":
        raise invalid_input(f"The recipe {recipe.name} makes user segments and cannot be used in a campaign.")
    if bool(config.get("syncWithLatestSolutionVersion")) != names_latest:
        raise invalid_input(
            "syncWithLatestSolutionVersion must be true when, and only when, solutionVersionArn is"
            f" SolutionArn{LATEST}."
        )
    if config.get("enableMetadataWithRecommendations") and recipe.recipe_type == "PERSONALIZED_ACTIONS":
        raise invalid_input(
            f"The recipe {recipe.name} recommends actions, which have no metadata in replies."
        )
    if config.get("rankingInfluence") and recipe.name != _WITH_RANKING_INFLUENCE:
        raise invalid_input(f"rankingInfluence is not supported by the recipe {recipe.name}.")
    if config.get("itemExplorationConfig"):
        if not recipe.exploration:
            raise invalid_input(f"itemExplorationConfig is not supported by the recipe {recipe.name}.")
        _check_exploration(config["itemExplorationConfig"])


def _check_exploration(config: Mapping[str, str]) -> None:
    for name, text in config.items():
        if name not in _EXPLORATION:
            raise invalid_input(f"Unknown itemExplorationConfig parameter {name}.")
        low, high = _EXPLORATION[name]
        try:
            valid = low <= float(text) <= high and math.isfinite(float(text))
        except ValueError:
            valid = False
        if not valid:
            raise invalid_input(f"{name} must be a number in [{low:g}, {high:g}], not {text}.")
