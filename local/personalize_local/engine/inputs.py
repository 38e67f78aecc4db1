"""Read the input of a training: tables, hyperparameters, and the errors that refuse them.

EngineError (a ValueError)
├── TrainingDataError    the tables cannot be trained on
├── HyperparameterError  a hyperparameter is malformed or out of range
├── RecipeError          the recipe is unknown, or lacks a training mode
└── ModelFolderError     the folder holds no model of that recipe
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

REQUIRED_COLUMNS = ("USER_ID", "ITEM_ID", "TIMESTAMP")


class EngineError(ValueError):
    """The input cannot be used; the message goes into a `failureReason`."""


class TrainingDataError(EngineError):
    """The tables cannot be trained on."""


class HyperparameterError(EngineError):
    """A hyperparameter is malformed or out of its range."""


class RecipeError(EngineError):
    """The recipe is unknown, or lacks the training mode."""


class ModelFolderError(EngineError):
    """The folder holds no saved model of the recipe."""


@dataclass(frozen=True)
class Objective:
    """The `optimizationObjective`: an attribute to maximise besides relevance.

    :param item_attribute: a numeric column of Items without nulls.
    :param sensitivity: `OFF`, `LOW`, `MEDIUM` or `HIGH`.
    """

    item_attribute: str
    sensitivity: str = "OFF"


@dataclass(frozen=True)
class ItemText:
    """Text columns of Items: the item's name and the column that the schema marks as textual."""

    name: str | None = None
    textual: str | None = None


@dataclass(frozen=True)
class TrainingData:
    """Tables of one dataset group at the time of training.

    :param interactions: USER_ID and ITEM_ID (string), TIMESTAMP (int64, epoch seconds), no nulls in these
        three; optional EVENT_TYPE (string), EVENT_VALUE (float) and IMPRESSION (string, item ids joined with `|`).
        One row per interaction, any order; rows equal in user, item, time and event type count once.
    :param items: ITEM_ID (string), optional CREATION_TIMESTAMP (int64, epoch seconds, nullable) and metadata
        columns, which are not trained on. None when the dataset group has no Items dataset.
    :param users: USER_ID and metadata, not trained on. None when there is no Users dataset.
    :param actions: ACTION_ID, optional CREATION_TIMESTAMP, VALUE, ACTION_EXPIRATION_TIMESTAMP or
        EXPIRATION_TIMESTAMP, REPEAT_FREQUENCY (int64, nullable) and metadata; for aws-next-best-action.
    :param action_interactions: USER_ID, ACTION_ID, EVENT_TYPE (`Taken`, `Not Taken`, `Viewed`), TIMESTAMP.
    """

    interactions: pa.Table
    items: pa.Table | None = None
    users: pa.Table | None = None
    actions: pa.Table | None = None
    action_interactions: pa.Table | None = None
    item_text: ItemText = ItemText()
    objective: Objective | None = None

    def check(self) -> None:
        """Raise :class:`TrainingDataError` for tables that cannot be trained on."""
        for name in REQUIRED_COLUMNS:
            require_column(self.interactions, "Interactions", name)
        if self.interactions.num_rows == 0:
            raise TrainingDataError("The Interactions dataset has no rows.")
        if self.items is not None:
            require_column(self.items, "Items", "ITEM_ID")

    def described_items(self, recipe: str) -> pa.Table:
        """Return the Items; raise :class:`TrainingDataError` when there are none."""
        if self.items is None or self.items.num_rows == 0:
            raise TrainingDataError(f"Recipe {recipe} needs an Items dataset with rows.")
        require_column(self.items, "Items", "ITEM_ID")
        return self.items


def require_column(table: pa.Table, dataset: str, column: str) -> None:
    """Raise :class:`TrainingDataError` unless the table has the column, once and without nulls."""
    found = table.column_names.count(column)
    if found != 1:
        raise TrainingDataError(f"The {dataset} dataset has {found} columns {column}, expected one.")
    nulls = table.column(column).null_count
    if nulls:
        raise TrainingDataError(f"The {dataset} dataset has {nulls} nulls in column {column}.")


def read_number(given: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    """Read a number in [low, high]; raise :class:`HyperparameterError` for anything else."""
    text = given.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError as error:
        raise HyperparameterError(f"{name} is {text!r}, expected a number.") from error
    if not low <= value <= high:
        raise HyperparameterError(f"{name} is {value:g}, expected {low:g} to {high:g}.")
    return value


def read_whole_number(given: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """Read a whole number in [low, high]; raise :class:`HyperparameterError` for anything else."""
    value = read_number(given, name, default, low, high)
    if not float(value).is_integer():
        raise HyperparameterError(f"{name} is {value:g}, expected a whole number.")
    return int(value)


def read_choice(given: Mapping[str, str], name: str, default: str, choices: Mapping[str, float]) -> float:
    """Read one of the `choices` and return its value; raise :class:`HyperparameterError`."""
    text = given.get(name, default).strip().lower()
    if text not in choices:
        raise HyperparameterError(f"{name} is {text!r}, expected {' or '.join(choices)}.")
    return choices[text]
