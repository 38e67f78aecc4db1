"""Find the model of a recipe by its name."""

from collections.abc import Mapping
from pathlib import Path

from personalize_local.engine.base import Recommender, TrainedModel, check_header
from personalize_local.engine.data import TrainingData
from personalize_local.engine.errors import RecipeError
from personalize_local.engine.popularity import PopularityCount
from personalize_local.engine.user_personalization import UserPersonalization

MODELS: dict[str, type[Recommender]] = {
    model.recipe: model for model in (PopularityCount, UserPersonalization)
}
TRAINABLE_RECIPES: frozenset[str] = frozenset(MODELS)


def train(recipe: str, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
    """Train in mode FULL: evaluate on the service's split, then fit on all rows.

    :param recipe: one of :data:`TRAINABLE_RECIPES`.
    :param hyperparameters: `algorithmHyperParameters`, strings as in the API; the recipe's defaults fill in.
    :raises EngineError: for an unknown recipe, malformed hyperparameters or untrainable tables.
    """
    return model_of(recipe).fit(data, hyperparameters)


def update(recipe: str, previous: Path, data: TrainingData) -> TrainedModel:
    """Train in mode UPDATE: keep the weights saved in `previous`, bring in the new items of `data`.

    :raises EngineError: for a recipe without this mode, a folder without its model or untrainable tables.
    """
    model = model_of(recipe)
    check_header(previous, recipe)
    return model.refresh(previous, data)


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
    return MODELS[recipe]
