"""List the recipes of the service with their hyperparameters.

Tables: https://docs.aws.amazon.com/personalize/latest/dg/working-with-predefined-recipes.html (a page per recipe)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from personalize_local.errors import invalid_input, not_found
from personalize_local.resources import service_owned_arn

Type = Literal["int", "float", "bool", "choice"]
_FREQUENCIES = ("30 minutes", "1 hour", "2 hours", "3 hours", "1 day")
# The service reports one fixed date per recipe; the exact date does not matter.
RECIPE_DATE_SECONDS = 1560124800.0  # 2019-06-10, when the service opened
_USER = "USER_PERSONALIZATION"
_RELATED = "RELATED_ITEMS"
_SEGMENT = "USER_SEGMENTATION"
_RANKING = "PERSONALIZED_RANKING"
_POPULAR = "POPULAR_ITEMS"


@dataclass(frozen=True)
class Parameter:
    """One hyperparameter: a number in [low, high], or one of `choices`."""

    name: str
    type: Type
    default: str
    low: float = 0.0
    high: float = 1.0
    choices: tuple[str, ...] = ()
    tunable: bool = False

    def check(self, value: str) -> None:
        """Raise InvalidInputException for a value that the recipe does not take."""
        if self.type in ("int", "float"):
            number = number_in(value)
            whole = number is not None and (self.type == "float" or number.is_integer())
            if number is None or not whole or not self.low <= number <= self.high:
                bounds = f"[{self.low:g}, {self.high:g}]"
                raise invalid_input(
                    f"Hyperparameter {self.name} must be {self.type} in {bounds}, not {value}."
                )
        elif value.lower() not in {choice.lower() for choice in self.choices}:
            raise invalid_input(
                f"Hyperparameter {self.name} must be {' or '.join(self.choices)}, not {value}."
            )


def number_in(text: str) -> float | None:
    """Parse a finite number; None for anything else."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _bool(name: str, default: str, *, tunable: bool = False) -> Parameter:
    return Parameter(name, "bool", default, choices=("True", "False"), tunable=tunable)


def _share(name: str, default: str, *, tunable: bool = False) -> Parameter:
    return Parameter(name, "float", default, tunable=tunable)


def _history_length(low: str, high: str) -> tuple[Parameter, ...]:
    return (
        _share("min_user_history_length_percentile", low),
        _share("max_user_history_length_percentile", high),
    )


_SEQUENCE = (
    Parameter("hidden_dimension", "int", "149", 32, 256, tunable=True),
    Parameter("bptt", "int", "32", 2, 32, tunable=True),
    _bool("recency_mask", "True", tunable=True),
)
_TRANSFORMER = (_bool("apply_recency_bias", "true"),)
_AFFINITY = (Parameter("hidden_dimension", "int", "149", 32, 256),)

# `algorithmHyperParameters` by recipe.
ALGORITHM_PARAMETERS: dict[str, tuple[Parameter, ...]] = {
    "aws-user-personalization-v2": _TRANSFORMER,
    "aws-user-personalization": _SEQUENCE,
    "aws-personalized-ranking-v2": _TRANSFORMER,
    "aws-personalized-ranking": _SEQUENCE,
    "aws-similar-items": (
        _share("popularity_discount_factor", "0.0"),
        Parameter("item_id_hidden_dim", "int", "100", 30, 200, tunable=True),
        Parameter("item_metadata_hidden_dim", "int", "100", 30, 200, tunable=True),
    ),
    "aws-sims": (
        _share("popularity_discount_factor", "0.5", tunable=True),
        Parameter("min_cointeraction_count", "int", "3", 0, 10, tunable=True),
    ),
    "aws-next-best-action": (Parameter("action_optimization_period", "int", "14", 7, 28),),
    "aws-item-affinity": _AFFINITY,
    "aws-item-attribute-affinity": _AFFINITY,
}
# `featureTransformationParameters` by recipe.
FEATURE_PARAMETERS: dict[str, tuple[Parameter, ...]] = {
    "aws-user-personalization": _history_length("0.0", "0.99"),
    "aws-personalized-ranking": _history_length("0.0", "0.99"),
    "aws-sims": (
        *_history_length("0.005", "0.995"),
        _share("min_item_interaction_count_percentile", "0.01"),
        _share("max_item_interaction_count_percentile", "0.9"),
    ),
    # An older page of the guide gives 3 hours as the default.
    "aws-trending-now": (Parameter("trend_discovery_frequency", "choice", "2 hours", choices=_FREQUENCIES),),
}


@dataclass(frozen=True)
class UseCase:
    """What a recommender of a domain recipe trains on, requires and leaves out.

    :param model: recipe with the model that this server trains instead.
    :param event: event type of which the service requires 1000.
    :param only_event: whether other event types are not trained on.
    :param left_out: event type; items for which the user has such an event are not recommended.
    :param needs_user: whether a request requires a userId.
    """

    model: str
    event: str
    only_event: bool = True
    left_out: str | None = None
    needs_user: bool = True


@dataclass(frozen=True)
class Recipe:
    """One recipe with its properties."""

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
    use_case: UseCase | None = None  # of the recipes of a domain

    @property
    def algorithm_parameters(self) -> tuple[Parameter, ...]:
        """Return the parameters of `algorithmHyperParameters`."""
        return ALGORITHM_PARAMETERS.get(self.name, ())

    @property
    def feature_parameters(self) -> tuple[Parameter, ...]:
        """Return the parameters of `featureTransformationParameters`."""
        return FEATURE_PARAMETERS.get(self.name, ())

    @property
    def segments(self) -> bool:
        """Return whether the recipe is for batch segment jobs."""
        return self.recipe_type == _SEGMENT

    @property
    def arn(self) -> str:
        """Return the ARN, which has neither region nor account."""
        return service_owned_arn(f"recipe/{self.name}")

    @property
    def algorithm_arn(self) -> str:
        """Return the ARN of the algorithm: the recipe's name, with one exception."""
        name = "aws-trending-now-custom" if self.name == "aws-trending-now" else self.name
        return service_owned_arn(f"algorithm/{name}")

    @property
    def feature_transformation_arn(self) -> str:
        """Return the ARN of the feature transformation: the recipe's name, with one exception."""
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
    # The guide lists it under POPULAR_ITEMS; DescribeRecipe returns this type.
    Recipe("aws-popularity-count", _USER, "Recommends the items most users interacted with.", scores=False),
    Recipe("aws-trending-now", _POPULAR, "Recommends items that rise fastest.", batch=False),
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

_POPULARITY, _EXPLORING, _TOGETHER = "aws-popularity-count", "aws-user-personalization", "aws-sims"
# https://docs.aws.amazon.com/personalize/latest/dg/ECOMMERCE-use-cases.html and VIDEO_ON_DEMAND-use-cases.html
_USE_CASES = {
    "aws-ecomm-recommended-for-you": (_USER, UseCase(_EXPLORING, "View", False, "Purchase")),
    "aws-ecomm-customers-who-viewed-x-also-viewed": (_RELATED, UseCase(_TOGETHER, "View", True, "Purchase")),
    "aws-ecomm-popular-items-by-views": (_POPULAR, UseCase(_POPULARITY, "View")),
    "aws-ecomm-popular-items-by-purchases": (_POPULAR, UseCase(_POPULARITY, "Purchase")),
    "aws-ecomm-frequently-bought-together": (_RELATED, UseCase(_TOGETHER, "Purchase", needs_user=False)),
    "aws-vod-top-picks": (_USER, UseCase(_EXPLORING, "Watch", False, "Watch")),
    "aws-vod-because-you-watched-x": (_RELATED, UseCase(_TOGETHER, "Watch", True, "Watch")),
    "aws-vod-more-like-x": (_RELATED, UseCase("aws-similar-items", "Watch", False, "Watch")),
    "aws-vod-most-popular": (_POPULAR, UseCase(_POPULARITY, "Watch")),
    # The stored guide does not list it: its requirements here are those of most-popular.
    "aws-vod-trending-now": (_POPULAR, UseCase("aws-trending-now", "Watch")),
}
_WITH_ITEMS = {"aws-vod-top-picks", "aws-vod-more-like-x"}
_DOMAIN = tuple(
    Recipe(
        name,
        recipe_type,
        "Use case of a domain dataset group.",
        domain="ECOMMERCE" if name.startswith("aws-ecomm-") else "VIDEO_ON_DEMAND",
        batch=False,
        scores=False,
        exploration=use_case.model == _EXPLORING,
        datasets=("INTERACTIONS", "ITEMS") if name in _WITH_ITEMS else ("INTERACTIONS",),
        use_case=use_case,
    )
    for name, (recipe_type, use_case) in _USE_CASES.items()
)

RECIPES = {recipe.arn: recipe for recipe in (*_CUSTOM, *_DOMAIN)}


def get_recipe(arn: str) -> Recipe:
    """Return the recipe with this ARN; raise ResourceNotFoundException."""
    try:
        return RECIPES[arn]
    except KeyError:
        raise not_found(arn) from None
