"""Name what can be wrong with the input of a training.

EngineError (a ValueError)
├── TrainingDataError    the tables cannot be trained on
├── HyperparameterError  a hyperparameter is malformed or out of range
├── RecipeError          the recipe does not exist here, or cannot do what was asked
└── ModelFolderError     the folder holds no model of that recipe
"""


class EngineError(ValueError):
    """Say what is wrong with the input, in a sentence fit for a `failureReason`."""


class TrainingDataError(EngineError):
    """Refuse tables that cannot be trained on."""


class HyperparameterError(EngineError):
    """Refuse a hyperparameter that is malformed or out of its range."""


class RecipeError(EngineError):
    """Refuse a recipe that is unknown here, or a training mode it does not have."""


class ModelFolderError(EngineError):
    """Refuse a folder that holds no saved model of the recipe."""
