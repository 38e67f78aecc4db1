"""The table of the recipes of Amazon Personalize: what each can do and needs.

https://docs.aws.amazon.com/personalize/latest/dg/working-with-predefined-recipes.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from recsync.formatting import did_you_mean

InferenceMode = Literal["batch", "segment", "campaign"]
"""How a recipe answers for many people: a batch inference job, a batch segment job, or calls to a campaign."""

# "numResults": https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetRecommendations.html, of which the batch
# guide names no other, ...API_RS_GetActionRecommendations.html, and the quota "users in a segment".
MAX_ITEMS, MAX_ACTIONS, MAX_SEGMENT_USERS = 500, 100, 5_000_000
# Items of one line: https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetPersonalizedRanking.html
MAX_RANKED_ITEMS = 500
# Queries of one batch segment job: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
MAX_SEGMENT_ITEMS, MAX_SEGMENT_EXPRESSIONS = 500, 10

NDCG_25 = "normalized_discounted_cumulative_gain_at_25"


class InputType(StrEnum):
    """What one line of a job's input, or one call, asks about."""

    USER = "user"
    RANKING = "a user and a list of items"
    ITEM = "item"
    NOTHING = "nothing"
    ACTIONS = "actions for a user"
    SEGMENT_ITEM = "users for an item"
    SEGMENT_ATTRIBUTES = "users for item attributes"


@dataclass(frozen=True)
class Parameter:
    """One hyperparameter.

    :param of: member of ``solutionConfig`` that holds it.
    :param tunable: whether hyperparameter optimisation can search it.
    """

    kind: Literal["int", "float", "true/false", "True/False", "choice"]
    low: float = 0
    high: float = 1
    choices: tuple[str, ...] = ()
    of: Literal["algorithmHyperParameters", "featureTransformationParameters"] = "algorithmHyperParameters"
    tunable: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """Return the values to choose from; none for a number."""
        return () if self.kind in {"int", "float"} else self.choices or tuple(self.kind.split("/"))

    @property
    def allowed(self) -> str:
        """Write which values are allowed."""
        if self.kind in {"int", "float"}:
            whole = "a whole number" if self.kind == "int" else "a number"
            return f"{whole} from {self.low:g} to {self.high:g}"
        return " or ".join(self.words)

    def spelled(self, text: str) -> str:
        """Write a value as the service does: YAML's true is "true" for one recipe and "True" for another."""
        return next((word for word in self.words if word.casefold() == text.casefold()), text)

    def allows(self, text: str) -> bool:
        """Return whether a value is allowed."""
        if self.kind not in {"int", "float"}:
            return self.spelled(text) in self.words
        read: Callable[[str], float] = int if self.kind == "int" else float
        try:
            return self.low <= read(text) <= self.high
        except ValueError:
            return False


@dataclass(frozen=True)
class Recipe:
    """One recipe.

    :param type: as ``DescribeRecipe`` and the guide file it.
    :param inference_mode: how it answers for many people.
    :param input_type: what one question is about.
    :param purpose: what it is for, in the words of a sentence's end.
    :param update: whether it trains with ``trainingMode=UPDATE``.
    :param exploration: whether a job takes ``itemExplorationConfig``.
    :param ranking_influence: whether a job takes ``rankingInfluence``.
    :param event_weights: whether its solution takes ``eventsConfig``.
    :param objective: whether its solution takes ``optimizationObjective``.
    :param columns: whether its solution takes ``trainingDataConfig``.
    :param metrics: keys of ``GetSolutionMetrics``; empty where the service's guide does not spell them.
    :param datasets: folders of the datasets it needs beside interactions.
    """

    name: str
    type: str
    inference_mode: InferenceMode
    input_type: InputType
    purpose: str
    update: bool = False
    exploration: bool = False
    ranking_influence: bool = False
    event_weights: bool = False
    objective: bool = False
    columns: bool = True
    metrics: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    parameters: Mapping[str, Parameter] | None = None

    @property
    def considers_events(self) -> bool:
        """Whether its batch jobs consider events that were streamed since the training.

        https://docs.aws.amazon.com/personalize/latest/dg/how-new-data-influences-batch-recommendations.html
        """
        return self.type in {"USER_PERSONALIZATION", "PERSONALIZED_RANKING"}

    @property
    def max_results(self) -> int:
        """Return the most results per question."""
        if self.inference_mode == "segment":
            return MAX_SEGMENT_USERS
        return MAX_ACTIONS if self.input_type is InputType.ACTIONS else MAX_ITEMS

    @property
    def default_results(self) -> int:
        """Return the default of ``num_results``."""
        return 1000 if self.inference_mode == "segment" else 50

    @property
    def tunable(self) -> dict[str, Parameter]:
        """Return the hyperparameters that ``performHPO`` can search."""
        return {name: each for name, each in (self.parameters or {}).items() if each.tunable}

    @property
    def default_metric(self) -> str | None:
        """Return the gate's default metric; None when the recipe's metrics are not documented."""
        if NDCG_25 in self.metrics:
            return NDCG_25
        return self.metrics[-1] if self.metrics else None


_RANKED = (
    "coverage",
    "mean_reciprocal_rank_at_25",
    *(f"normalized_discounted_cumulative_gain_at_{k}" for k in (5, 10, 25)),
    *(f"precision_at_{k}" for k in (5, 10, 25)),
)
_FOUND = ("coverage", "hits_at_1_percent", "recall_at_1_percent")
_SHARE = Parameter("float")
_FEATURE_SHARE = Parameter("float", of="featureTransformationParameters")
_HIDDEN = {"hidden_dimension": Parameter("int", 32, 256)}
_LENGTHS = {f"{end}_user_history_length_percentile": _FEATURE_SHARE for end in ("min", "max")}
_COUNTS = {f"{end}_item_interaction_count_percentile": _FEATURE_SHARE for end in ("min", "max")}
_V1 = {
    "hidden_dimension": Parameter("int", 32, 256, tunable=True),
    "bptt": Parameter("int", 2, 32, tunable=True),
    "recency_mask": Parameter("True/False", tunable=True),
} | _LENGTHS
_V2 = {"apply_recency_bias": Parameter("true/false")}
_SIMILAR = {
    "popularity_discount_factor": _SHARE,
    "item_id_hidden_dim": Parameter("int", 30, 200, tunable=True),
    "item_metadata_hidden_dim": Parameter("int", 30, 200, tunable=True),
}
_TOGETHER = {
    "popularity_discount_factor": Parameter("float", tunable=True),
    "min_cointeraction_count": Parameter("int", 0, 10, tunable=True),
}
_PERIODS = Parameter(
    "choice",
    choices=("30 minutes", "1 hour", "2 hours", "3 hours", "1 day"),
    of="featureTransformationParameters",
)

_TABLE = (
    Recipe(
        "aws-user-personalization-v2", "USER_PERSONALIZATION", "batch", InputType.USER, "items for each user",
        event_weights=True, metrics=_RANKED, parameters=_V2,
    ),
    Recipe(
        "aws-user-personalization", "USER_PERSONALIZATION", "batch", InputType.USER,
        "items for each user, exploring new ones",
        update=True, exploration=True, objective=True, metrics=_RANKED, parameters=_V1,
    ),
    Recipe(
        "aws-popularity-count", "POPULAR_ITEMS", "batch", InputType.USER, "the items of most users", metrics=_RANKED
    ),
    Recipe(
        "aws-trending-now", "POPULAR_ITEMS", "campaign", InputType.NOTHING, "the items that rise fastest",
        parameters={"trend_discovery_frequency": _PERIODS},
    ),
    Recipe(
        "aws-personalized-ranking-v2", "PERSONALIZED_RANKING", "batch", InputType.RANKING,
        "a list, ranked for each user", event_weights=True, metrics=_RANKED, parameters=_V2,
    ),
    Recipe(
        "aws-personalized-ranking", "PERSONALIZED_RANKING", "batch", InputType.RANKING, "a list, ranked for each user",
        objective=True, metrics=_RANKED, parameters=_V1,
    ),
    Recipe(
        "aws-similar-items", "RELATED_ITEMS", "batch", InputType.ITEM, "items like an item, by behaviour and metadata",
        metrics=_RANKED, parameters=_SIMILAR,
    ),
    Recipe(
        "aws-sims", "RELATED_ITEMS", "batch", InputType.ITEM, "items that go together with an item",
        metrics=_RANKED,
        parameters=_TOGETHER | _LENGTHS | _COUNTS,
    ),
    Recipe(
        "aws-semantic-similarity", "RELATED_ITEMS", "batch", InputType.ITEM,
        "items whose names and texts mean the same", ranking_influence=True, datasets=("items",),
    ),
    Recipe(
        "aws-next-best-action", "PERSONALIZED_ACTIONS", "campaign", InputType.ACTIONS, "actions for each user",
        datasets=("actions", "action_interactions"), columns=False,
        parameters={"action_optimization_period": Parameter("int", 7, 28)},
    ),
    Recipe(
        "aws-item-affinity", "USER_SEGMENTATION", "segment", InputType.SEGMENT_ITEM, "users for each item",
        metrics=_FOUND, parameters=_HIDDEN,
    ),
    Recipe(
        "aws-item-attribute-affinity", "USER_SEGMENTATION", "segment", InputType.SEGMENT_ATTRIBUTES,
        "users for item attributes", metrics=_FOUND, datasets=("items",), parameters=_HIDDEN,
    ),
)  # fmt: skip
RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in _TABLE}


def those_that(trait: Callable[[Recipe], bool]) -> str:
    """List the recipes with a trait, for error messages."""
    return ", ".join(sorted(recipe.name for recipe in _TABLE if trait(recipe)))


def parameter_problems(recipe: Recipe, given: Mapping[str, str]) -> Iterator[str]:
    """Yield the mistakes in the hyperparameters of a solution.

    https://docs.aws.amazon.com/personalize/latest/dg/customizing-solution-config-hpo.html
    """
    known = recipe.parameters or {}
    for name, text in given.items():
        if name not in known:
            has = f"it has {', '.join(sorted(known))}" if known else "it has none"
            yield f"{recipe.name} has no hyperparameter {name}; {has}{did_you_mean(name, known)}"
        elif not known[name].allows(text):
            yield f"{name} is {text!r}, must be {known[name].allowed}"


def solution_parameters(recipe: Recipe, given: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Sort hyperparameters into the members of ``solutionConfig``."""
    members: dict[str, dict[str, str]] = {}
    for name, text in given.items():
        parameter = (recipe.parameters or {})[name]
        members.setdefault(parameter.of, {})[name] = parameter.spelled(text)
    return members
