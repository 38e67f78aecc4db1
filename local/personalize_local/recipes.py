"""Know the recipes of the service: a static table, as recipes belong to the service and not to an account.

Table: https://docs.aws.amazon.com/personalize/latest/dg/working-with-predefined-recipes.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from personalize_local.arns import service_owned_arn
from personalize_local.errors import not_found
from personalize_local.recipe_parameters import ALGORITHM_PARAMETERS, FEATURE_PARAMETERS, Parameter

# The service reports one fixed date per recipe; the exact dates matter to nobody.
RECIPE_DATE_SECONDS = 1560124800.0  # 2019-06-10, when the service opened


@dataclass(frozen=True)
class Recipe:
    """Describe one recipe, and what this server needs to know to use it."""

    name: str
    recipe_type: str
    description: str
    domain: str | None = None
    batch: bool = True
    update: bool = False
    scores: bool = True
    exploration: bool = False
    tunes: bool = False  # performHPO
    objective: bool = False  # optimizationObjective
    event_weights: bool = False  # eventsConfig
    themes: bool = False  # batchInferenceJobMode THEME_GENERATION
    influence: bool = False  # rankingInfluence, and performIncrementalUpdate
    closed: bool = False  # to new solutions
    datasets: tuple[str, ...] = ("INTERACTIONS",)  # without which no training begins

    @property
    def algorithm_parameters(self) -> tuple[Parameter, ...]:
        """Return what `algorithmHyperParameters` may hold."""
        return ALGORITHM_PARAMETERS.get(self.name, ())

    @property
    def feature_parameters(self) -> tuple[Parameter, ...]:
        """Return what `featureTransformationParameters` may hold."""
        return FEATURE_PARAMETERS.get(self.name, ())

    @property
    def segments(self) -> bool:
        """Tell whether the recipe finds users, with batch segment jobs."""
        return self.recipe_type == _SEGMENT

    @property
    def arn(self) -> str:
        """Return the ARN, which has neither region nor account."""
        return service_owned_arn(f"recipe/{self.name}")

    @property
    def algorithm_arn(self) -> str:
        """Return the ARN of the algorithm, which mirrors the recipe's name but for one."""
        name = "aws-trending-now-custom" if self.name == "aws-trending-now" else self.name
        return service_owned_arn(f"algorithm/{name}")

    @property
    def feature_transformation_arn(self) -> str:
        """Return the ARN of the feature transformation, which mirrors the recipe's name but for one."""
        name = "JSON-percentile-filtering" if self.name == "aws-personalized-ranking" else self.name
        return service_owned_arn(f"feature-transformation/{name}")

    def body(self) -> dict[str, Any]:
        """Return the members of a DescribeRecipe reply and of a ListRecipes entry."""
        return {
            "name": self.name,
            "recipeArn": self.arn,
            "algorithmArn": self.algorithm_arn,
            "featureTransformationArn": self.feature_transformation_arn,
            "status": "ACTIVE",
            "description": self.description,
            "creationDateTime": RECIPE_DATE_SECONDS,
            "lastUpdatedDateTime": RECIPE_DATE_SECONDS,
            "recipeType": self.recipe_type,
            "domain": self.domain,
        }


_USER = "USER_PERSONALIZATION"
_RELATED = "RELATED_ITEMS"
_SEGMENT = "USER_SEGMENTATION"
_RANKING = "PERSONALIZED_RANKING"

_CUSTOM = (
    Recipe(
        "aws-user-personalization-v2",
        _USER,
        "Recommends items to a user with a transformer model.",
        event_weights=True,
    ),
    Recipe(
        "aws-user-personalization",
        _USER,
        "Recommends items to a user and explores new items.",
        update=True,
        exploration=True,
        tunes=True,
        objective=True,
    ),
    # The guide files it under POPULAR_ITEMS; DescribeRecipe answers this.
    Recipe("aws-popularity-count", _USER, "Recommends the items most users interacted with.", scores=False),
    Recipe("aws-trending-now", "POPULAR_ITEMS", "Recommends items that rise fastest.", batch=False),
    Recipe(
        "aws-personalized-ranking-v2",
        _RANKING,
        "Ranks a list of items with a transformer model.",
        event_weights=True,
    ),
    Recipe(
        "aws-personalized-ranking", _RANKING, "Ranks a list of items for a user.", tunes=True, objective=True
    ),
    Recipe(
        "aws-similar-items",
        _RELATED,
        "Recommends items similar to an item by behaviour and metadata.",
        scores=False,
        tunes=True,
        themes=True,
    ),
    Recipe(
        "aws-sims", _RELATED, "Recommends items that occur together with an item.", scores=False, tunes=True
    ),
    Recipe(
        "aws-semantic-similarity",
        _RELATED,
        "Recommends items with similar meaning.",
        scores=False,
        influence=True,
        datasets=("ITEMS",),
    ),
    Recipe(
        "aws-next-best-action",
        "PERSONALIZED_ACTIONS",
        "Recommends actions to a user.",
        batch=False,
        datasets=("INTERACTIONS", "ACTIONS", "ACTION_INTERACTIONS"),
    ),
    Recipe("aws-item-affinity", _SEGMENT, "Finds users for an item.", batch=False),
    Recipe("aws-item-attribute-affinity", _SEGMENT, "Finds users for an item attribute.", batch=False),
    Recipe("aws-hrnn", _USER, "Legacy recipe.", closed=True),
    Recipe("aws-hrnn-metadata", _USER, "Legacy recipe.", closed=True),
    Recipe("aws-hrnn-coldstart", _USER, "Legacy recipe.", closed=True),
)

_DOMAIN_TAILS = {
    ("ECOMMERCE", "aws-ecomm-"): (
        ("recommended-for-you", _USER),
        ("customers-who-viewed-x-also-viewed", _RELATED),
        ("popular-items-by-views", "POPULAR_ITEMS"),
        ("popular-items-by-purchases", "POPULAR_ITEMS"),
        ("frequently-bought-together", _RELATED),
    ),
    ("VIDEO_ON_DEMAND", "aws-vod-"): (
        ("top-picks", _USER),
        ("because-you-watched-x", _RELATED),
        ("more-like-x", _RELATED),
        ("most-popular", "POPULAR_ITEMS"),
        ("trending-now", "POPULAR_ITEMS"),
    ),
}
_DOMAIN = tuple(
    Recipe(prefix + tail, recipe_type, f"Use case of the {domain} domain.", domain=domain, batch=False)
    for (domain, prefix), tails in _DOMAIN_TAILS.items()
    for tail, recipe_type in tails
)

RECIPES = {recipe.arn: recipe for recipe in (*_CUSTOM, *_DOMAIN)}


def get_recipe(arn: str) -> Recipe:
    """Return the recipe with this ARN; raise ResourceNotFoundException."""
    try:
        return RECIPES[arn]
    except KeyError:
        raise not_found(arn) from None
