"""State the contract of every model: what is trained can be saved, loaded and asked for recommendations."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from personalize_local.engine.data import TrainingData
from personalize_local.engine.errors import ModelFolderError, RecipeError

HEADER_FILE = "model.json"
METRICS_FILE = "metrics.json"
# Raised whenever the files of a saved model change their meaning.
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Exploration:
    """Say how much to explore: `itemExplorationConfig` of a campaign or batch inference job.

    :param weight: 0 (none) to 1 (most); the service's default is 0.3.
    :param item_age_cut_off_days: largest age of an item to explore; the service's default is 30.
    """

    weight: float = 0.3
    item_age_cut_off_days: float = 30.0


@dataclass(frozen=True)
class Recommendation:
    """Hold one user's list, best first; `scores` as long as `item_ids`, or None for recipes without."""

    user_id: str
    item_ids: list[str]
    scores: list[float] | None


class Recommender(ABC):
    """Answer for a trained model. Users it does not know get popular items."""

    recipe: ClassVar[str]
    has_scores: ClassVar[bool]

    @abstractmethod
    def recommend(
        self, user_ids: Sequence[str], num_results: int, exploration: Exploration | None
    ) -> Iterator[Recommendation]:
        """Yield one list per user id, in their order.

        :param num_results: length of each list (the service allows 500); shorter when the catalogue is.
        :param exploration: None explores nothing; recipes without exploration ignore it.
        """

    @abstractmethod
    def write(self, folder: Path) -> None:
        """Write the model's files into an existing folder."""

    @classmethod
    @abstractmethod
    def read(cls, folder: Path) -> Self:
        """Read what :meth:`write` wrote."""

    @classmethod
    @abstractmethod
    def fit(cls, data: TrainingData, hyperparameters: Mapping[str, str]) -> "TrainedModel":
        """Evaluate on the service's split, then fit on all rows.

        :raises TrainingDataError: for tables that cannot be trained on.
        :raises HyperparameterError: for a malformed hyperparameter.
        """

    @classmethod
    def refresh(cls, previous: Path, data: TrainingData) -> "TrainedModel":
        """Train in mode UPDATE on top of a saved model; only some recipes can.

        :raises RecipeError: for a recipe without this mode.
        """
        raise RecipeError(f"Training mode UPDATE is not available for recipe {cls.recipe}.")


@dataclass(frozen=True)
class TrainedModel:
    """Hold a recommender with its metrics, named as in GetSolutionMetrics and not rounded."""

    recommender: Recommender
    metrics: dict[str, float]

    def save(self, folder: Path) -> None:
        """Write the model into the folder, which is made when missing."""
        folder.mkdir(parents=True, exist_ok=True)
        self.recommender.write(folder)
        (folder / METRICS_FILE).write_text(json.dumps(self.metrics, indent=1))
        # The header goes last: a folder without it is half written and is refused.
        header = {"recipe": self.recommender.recipe, "format": FORMAT_VERSION}
        (folder / HEADER_FILE).write_text(json.dumps(header))


def check_header(folder: Path, recipe: str) -> None:
    """Raise :class:`ModelFolderError` unless the folder holds a whole model of the recipe."""
    try:
        header = json.loads((folder / HEADER_FILE).read_text())
    except OSError as error:
        raise ModelFolderError(f"No model in {folder}: {error}") from error
    expected = {"recipe": recipe, "format": FORMAT_VERSION}
    if header != expected:
        raise ModelFolderError(f"The model in {folder} is {header}, expected {expected}.")


def read_metrics(folder: Path) -> dict[str, float]:
    """Read the metrics of a saved model."""
    metrics = json.loads((folder / METRICS_FILE).read_text())
    return {str(name): float(value) for name, value in metrics.items()}
