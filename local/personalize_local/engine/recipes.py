"""Find the model of a recipe by its name."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from personalize_local.engine.base import Recommender, TrainedModel, check_header
from personalize_local.engine.inputs import RecipeError, TrainingData

# Module and class of every model, imported on first use: some need scikit-learn, which takes seconds to load in each
# worker process.
MODELS = {
    "aws-user-personalization-v2": "user_personalization.UserPersonalizationV2",
    "aws-user-personalization": "user_personalization.UserPersonalization",
    "aws-popularity-count": "popularity.PopularityCount",
    "aws-trending-now": "popularity.TrendingNow",
    "aws-personalized-ranking-v2": "ranking.PersonalizedRankingV2",
    "aws-personalized-ranking": "ranking.PersonalizedRanking",
    "aws-similar-items": "similar_items.SimilarItems",
    "aws-sims": "sims.Sims",
    "aws-semantic-similarity": "semantic_similarity.SemanticSimilarity",
    "aws-next-best-action": "next_best_action.NextBestAction",
    "aws-item-affinity": "affinity.ItemAffinity",
    "aws-item-attribute-affinity": "affinity.ItemAttributeAffinity",
}
TRAINABLE_RECIPES: frozenset[str] = frozenset(MODELS)


def train(recipe: str, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
    """Train in mode FULL: evaluate on the service's split, then fit on all rows.

    :param recipe: one of :data:`TRAINABLE_RECIPES`.
    :param hyperparameters: `algorithmHyperParameters`, strings as in the API; the recipe's defaults fill in.
    :raises EngineError: for an unknown recipe, malformed hyperparameters or untrainable tables.
    """
    trained = model_of(recipe).fit(data, hyperparameters)
    return trained if data.objective is None else steered(trained, data)


def update(recipe: str, previous: Path, data: TrainingData) -> TrainedModel:
    """Train in mode UPDATE: keep the weights saved in `previous`, add the new items of `data`.

    :raises EngineError: for a recipe without this mode, a folder without its model or untrainable tables.
    """
    model = model_of(recipe)
    check_header(previous, recipe)
    return model.refresh(previous, data)


def steered(trained: TrainedModel, data: TrainingData) -> TrainedModel:
    """Apply `data.objective` to a user model, alone or within a ranking, and measure its rewards."""
    objective = import_module("personalize_local.engine.objective")
    model = trained.recommender
    users = getattr(model, "_users", model)
    if not hasattr(users, "precomputed"):
        raise RecipeError(f"optimizationObjective is not available for recipe {model.recipe}.")
    metrics = objective.measure_rewards(data, users, data.objective)
    leaning = objective.steer(users, data, data.objective)
    make: Callable[[Recommender], Recommender] = type(model)
    wrapped = leaning if users is model else make(leaning)
    return TrainedModel(wrapped, trained.metrics | metrics)


def load(recipe: str, folder: Path) -> Recommender:
    """Load a saved model.

    :raises ModelFolderError: when the folder holds no whole model of the recipe.
    """
    model = model_of(recipe)
    check_header(folder, recipe)
    return model.read(folder)


def model_of(recipe: str) -> type[Recommender]:
    """Look the model up; raise :class:`RecipeError` for an unknown name."""
    if recipe not in MODELS:
        raise RecipeError(f"Recipe {recipe} cannot be trained here; available: {', '.join(sorted(MODELS))}.")
    module, name = MODELS[recipe].split(".")
    model: type[Recommender] = getattr(import_module(f"personalize_local.engine.{module}"), name)
    return model
