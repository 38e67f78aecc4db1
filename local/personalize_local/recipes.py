"""Know the recipes of the service: a static table, as recipes belong to the service and not to an account.

Table: https://docs.aws.amazon.com/personalize/latest/dg/working-with-predefined-recipes.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from personalize_local.arns import service_owned_arn
from personalize_local.errors import not_found

# The service reports one fixed date per recipe; the exact dates matter to nobody.
_RECIPE_DATE_SECONDS = 1560124800.0  # 2019-06-10, when the service opened


@dataclass(frozen=True)
class Parameter:
    """Bound one hyperparameter: `bool` takes True/False, numbers lie in [low, high]."""

    name: str
    type: str
    low: float = 0.0
    high: float = 1.0


_HIDDEN_DIMENSION = Parameter("hidden_dimension", "int", 32, 256)
_USER_PERSONALIZATION = (
    _HIDDEN_DIMENSION,
    Parameter("bptt", "int", 2, 32),
    Parameter("recency_mask", "bool"),
)
_HISTORY_LENGTH = (
    Parameter("min_user_history_length_percentile", "float"),
    Parameter("max_user_history_length_percentile", "float"),
)
_DISCOUNT = Parameter("popularity_discount_factor", "float")


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
    algorithm_parameters: tuple[Parameter, ...] = ()
    feature_parameters: tuple[Parameter, ...] = ()

    @property
    def arn(self) -> str:
        """Return the ARN, which has neither region nor account."""
        return service_owned_arn(f"recipe/{self.name}")

    def body(self) -> dict[str, Any]:
        """Return the members of a DescribeRecipe reply and of a ListRecipes entry."""
        algorithm = "aws-trending-now-custom" if self.name == "aws-trending-now" else self.name
        feature = "JSON-percentile-filtering" if self.name == "aws-personalized-ranking" else self.name
        return {
            "name": self.name,
            "recipeArn": self.arn,
            "algorithmArn": service_owned_arn(f"algorithm/{algorithm}"),
            "featureTransformationArn": service_owned_arn(f"feature-transformation/{feature}"),
            "status": "ACTIVE",
            "description": self.description,
            "creationDateTime": _RECIPE_DATE_SECONDS,
            "lastUpdatedDateTime": _RECIPE_DATE_SECONDS,
            "recipeType": self.recipe_type,
            "domain": self.domain,
        }


_USER = "USER_PERSONALIZATION"
_RELATED = "RELATED_ITEMS"
_SEGMENT = "USER_SEGMENTATION"
_RANKING = "PERSONALIZED_RANKING"

_CUSTOM = (
    Recipe("aws-user-personalization-v2", _USER, "Recommends items to a user with a transformer model."),
    Recipe(
        "aws-user-personalization",
        _USER,
        "Recommends items to a user and explores new items.",
        update=True,
        exploration=True,
        algorithm_parameters=_USER_PERSONALIZATION,
        feature_parameters=_HISTORY_LENGTH,
    ),
    # The guide files it under POPULAR_ITEMS; DescribeRecipe answers this.
    Recipe("aws-popularity-count", _USER, "Recommends the items most users interacted with.", scores=False),
    Recipe("aws-trending-now", "POPULAR_ITEMS", "Recommends items that rise fastest.", batch=False),
    Recipe("aws-personalized-ranking-v2", _RANKING, "Ranks a list of items with a transformer model."),
    Recipe(
        "aws-personalized-ranking",
        _RANKING,
        "Ranks a list of items for a user.",
        algorithm_parameters=_USER_PERSONALIZATION,
        feature_parameters=_HISTORY_LENGTH,
    ),
    Recipe(
        "aws-similar-items",
        _RELATED,
        "Recommends items similar to an item by behaviour and metadata.",
        scores=False,
        algorithm_parameters=(_DISCOUNT,),
    ),
    Recipe(
        "aws-sims",
        _RELATED,
        "Recommends items that occur together with an item.",
        scores=False,
        algorithm_parameters=(_DISCOUNT, Parameter("min_cointeraction_count", "int", 0, 10)),
        feature_parameters=(
            *_HISTORY_LENGTH,
            Parameter("min_item_interaction_count_percentile", "float"),
            Parameter("max_item_interaction_count_percentile", "float"),
        ),
    ),
    Recipe("aws-semantic-similarity", _RELATED, "Recommends items with similar meaning.", scores=False),
    Recipe("aws-next-best-action", "PERSONALIZED_ACTIONS", "Recommends actions to a user.", batch=False),
    Recipe(
        "aws-item-affinity", _SEGMENT, "Finds users for an item.", algorithm_parameters=(_HIDDEN_DIMENSION,)
    ),
    Recipe(
        "aws-item-attribute-affinity",
        _SEGMENT,
        "Finds users for an item attribute.",
        algorithm_parameters=(_HIDDEN_DIMENSION,),
    ),
    Recipe("aws-hrnn", _USER, "Legacy recipe."),
    Recipe("aws-hrnn-metadata", _USER, "Legacy recipe."),
    Recipe("aws-hrnn-coldstart", _USER, "Legacy recipe."),
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
