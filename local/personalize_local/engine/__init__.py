"""Train, evaluate and query the recommenders behind the local Amazon Personalize.

The numerical core only: it knows pyarrow tables and folders, not ARNs, S3 or HTTP.
Recipes: https://docs.aws.amazon.com/personalize/latest/dg/working-with-predefined-recipes.html
"""

from personalize_local.engine.base import Answer, Exploration, Options, Query, Recommender, TrainedModel
from personalize_local.engine.inputs import (
    EngineError,
    HyperparameterError,
    ModelFolderError,
    RecipeError,
    TrainingData,
    TrainingDataError,
)
from personalize_local.engine.recipes import TRAINABLE_RECIPES, load, train, update

__all__ = [
    "TRAINABLE_RECIPES",
    "Answer",
    "EngineError",
    "Exploration",
    "HyperparameterError",
    "ModelFolderError",
    "Options",
    "Query",
    "RecipeError",
    "Recommender",
    "TrainedModel",
    "TrainingData",
    "TrainingDataError",
    "load",
    "train",
    "update",
]
