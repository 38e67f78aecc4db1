"""Define the interface of all models: train, save, load, recommend."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Self

import pyarrow as pa

from personalize_local.engine.inputs import ModelFolderError, RecipeError, TrainingData

HEADER_FILE = "model.json"
METRICS_FILE = "metrics.json"
# Increase when the files of a saved model change their meaning.
FORMAT_VERSION = 2
Wants = Literal["user", "item", "ranking", "segment_item", "segment_attributes", "action"]


@dataclass(frozen=True)
class Exploration:
    """How much to explore: `itemExplorationConfig` of a campaign or batch inference job.

    :param weight: 0 (none) to 1 (most); the service's default is 0.3.
    :param item_age_cut_off_days: largest age of an item to explore; the service's default is 30.
    """

    weight: float = 0.3
    item_age_cut_off_days: float = 30.0


@dataclass(frozen=True, slots=True)
class Query:
    """Query of one input line or one real-time call.

    :attr:`Recommender.wants` says which fields a model reads: `user` and `action` read `user_id`; `item` and
    `segment_item` read `item_id`; `ranking` reads `user_id` and `item_ids`; `segment_attributes` reads `attributes`,
    e.g. `ITEMS.GENRES = "Comedy" AND ITEMS.YEAR = "1999"`.
    """

    user_id: str | None = None
    item_id: str | None = None
    item_ids: tuple[str, ...] = ()
    attributes: str | None = None


@dataclass(frozen=True)
class Options:
    """Options for all queries of one call.

    :param exploration: None explores nothing; recipes without exploration ignore it.
    :param ranking_influence: `POPULARITY` and `FRESHNESS` from 0 (the default) to 1, for
        aws-semantic-similarity; the others ignore it.
    """

    exploration: Exploration | None = None
    ranking_influence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """Ids of items, users (segments) or actions, best first.

    `scores` is None for recipes without scores. It is as long as `ids`, except in rankings, whose ids without
    interactions come last and have no score. `reasons` has a list per id. If `error` is set, `ids` is empty.
    """

    ids: list[str]
    scores: list[float] | None = None
    reasons: list[list[str]] | None = None
    error: str | None = None


class Recommender(ABC):
    """Base class of trained models."""

    recipe: ClassVar[str]
    has_scores: ClassVar[bool]
    wants: ClassVar[Wants]

    @abstractmethod
    def answer(self, queries: Sequence[Query], num_results: int, options: Options) -> Iterator[Answer]:
        """Yield one answer per query, in their order.

        Unknown users and items get popular items; an unknown item has no segment.

        :param num_results: length of each list (the service allows 500, of a segment 5 million); shorter
            when the catalog is. Rankings are as long as the query's list, whatever it says.
        """

    def with_histories(self, interactions: pa.Table) -> "Recommender":
        """Return a recommender with the current interactions of some users; all other users stay unchanged.

        Recipes that ignore interactions after the training return themselves.

        :param interactions: all interactions of these users, in the columns of :class:`TrainingData`.
        """
        return self

    def with_items(self, data: TrainingData) -> "Recommender":
        """Return a recommender with the items of `data` that the training did not know; the weights stay.

        Recipes that ignore items after the training return themselves.
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
    """A recommender with its metrics, named as in GetSolutionMetrics and not rounded."""

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
