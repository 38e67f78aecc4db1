"""Recommend what most users took: recipe aws-popularity-count."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from personalize_local.engine.base import Answer, Options, Query, Recommender, TrainedModel
from personalize_local.engine.catalogue import Catalogue, describe_items
from personalize_local.engine.data import TrainingData
from personalize_local.engine.evaluation import accuracy_of, coverage_of
from personalize_local.engine.interactions import encode
from personalize_local.engine.split import split_users


class PopularityCount(Recommender):
    """Give everyone the same list: items by their number of distinct users.

    https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-popularity.html
    """

    recipe = "aws-popularity-count"
    has_scores = False
    wants = "user"

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._order = catalogue.by_popularity()

    def answer(self, queries: Sequence[Query], num_results: int, options: Options) -> Iterator[Answer]:
        """Yield the most popular items for every query."""
        items: list[str] = self.catalogue.item_ids.take(self._order[:num_results]).to_pylist()
        for _ in queries:
            yield Answer(list(items))

    def write(self, folder: Path) -> None:
        """Write the catalogue with its counts."""
        self.catalogue.write(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the catalogue back."""
        return cls(Catalogue.read(folder))

    @classmethod
    def fit(cls, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
        """Count distinct users; the recipe has no hyperparameters, any given are ignored."""
        interactions = encode(data)
        split = split_users(interactions)
        metrics = accuracy_of(cls(describe_items(data, split.train)), split.labels)
        model = cls(describe_items(data, interactions))
        return TrainedModel(model, metrics | coverage_of(model, interactions))
