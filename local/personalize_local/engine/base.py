"""State the contract of every model: what is trained can be saved, loaded and asked for recommendations."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Self

import pyarrow as pa

from personalize_local.engine.data import TrainingData
from personalize_local.engine.errors import ModelFolderError, RecipeError

HEADER_FILE = "model.json"
METRICS_FILE = "metrics.json"
# Raised whenever the files of a saved model change their meaning.
FORMAT_VERSION = 2


@dataclass(frozen=True)
class Exploration:
    """Say how much to explore: `itemExplorationConfig` of a campaign or batch inference job.

    :param weight: 0 (none) to 1 (most); the service's default is 0.3.
    :param item_age_cut_off_days: largest age of an item to explore; the service's default is 30.
    """

    weight: float = 0.3
    item_age_cut_off_days: float = 30.0


@dataclass(frozen=True, slots=True)
class Query:
    """Hold what one line of an input, or one real-time call, asks.

    Which field is looked at, a model says in :attr:`Recommender.wants`: `user` and `action` look at
    `user_id`; `item` and `segment_item` at `item_id`; `ranking` at `user_id` and `item_ids`;
    `segment_attributes` at `attributes`, e.g. `ITEMS.GENRES = "Comedy" AND ITEMS.YEAR = "1999"`.
    """

    user_id: str | None = None
    item_id: str | None = None
    item_ids: tuple[str, ...] = ()
    attributes: str | None = None


@dataclass(frozen=True)
class Options:
    """Say how to answer all queries of one call.

    :param exploration: None explores nothing; recipes without exploration ignore it.
    :param ranking_influence: `POPULARITY` and `FRESHNESS` from 0 (the default) to 1, for
        aws-semantic-similarity; the others ignore it.
    """

    exploration: Exploration | None = None
    ranking_influence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold the ids of items, users (segments) or actions, best first.

    `scores` is None for recipes without. It is as long as `ids`, but for rankings, in which the last ids
    have none when nobody ever interacted with them. `reasons` has a list per id. `error` says why the query
    could not be answered; `ids` is empty then.
    """

    ids: list[str]
    scores: list[float] | None = None
    reasons: list[list[str]] | None = None
    error: str | None = None


Wants = Literal["user", "item", "ranking", "segment_item", "segment_attributes", "action"]


class Recommender(ABC):
    """Answer for a trained model."""

    recipe: ClassVar[str]
    has_scores: ClassVar[bool]
    wants: ClassVar[Wants]

    @abstractmethod
    def answer(self, queries: Sequence[Query], num_results: int, options: Options) -> Iterator[Answer]:
        """Yield one answer per query, in their order.

        Users and items that the model does not know get popular items; an unknown item has no segment.

        :param num_results: length of each list (the service allows 500, of a segment 5 million); shorter
            when the catalogue is. Rankings are as long as the query's list, whatever it says.
        """

    def with_histories(self, interactions: pa.Table) -> "Recommender":
        """Return a recommender that knows some users' interactions as they are now, and all others as before.

        Only recipes that look at what a user did after the training differ; the others return themselves.

        :param interactions: all that these users ever did, in the columns of :class:`TrainingData`.
        """
        return self

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
