"""Recommend what a user will take next, again or for the first time: recipe aws-user-personalization."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.engine.answers import Answers, prepare_answers
from personalize_local.engine.base import Exploration, Recommendation, Recommender, TrainedModel, read_metrics
from personalize_local.engine.catalogue import Catalogue, describe_items
from personalize_local.engine.data import TrainingData
from personalize_local.engine.evaluation import accuracy_of, coverage_of
from personalize_local.engine.exploration import Explorer, insert, make_explorer
from personalize_local.engine.histories import measure_items, summarise
from personalize_local.engine.interactions import Float32Array, IntArray, encode
from personalize_local.engine.learning import learn, relearn
from personalize_local.engine.split import hash_ids, split_users
from personalize_local.engine.weights import Settings, Weights

# Bounds the memory of a batch to a few MB: users x pool items x 4 bytes.
BATCH_USERS = 256
HASH_SALT = "exploration"


class UserPersonalization(Recommender):
    """Blend habits, taste and popularity; explore cold items.

    https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-new-item-USER_PERSONALIZATION.html
    Scores are a softmax over the user's candidates: his own items and the pool of items to discover.
    """

    recipe = "aws-user-personalization"
    has_scores = True

    def __init__(self, catalogue: Catalogue, weights: Weights, answers: Answers) -> None:
        self.catalogue = catalogue
        self.weights = weights
        self.answers = answers
        self._popular = catalogue.by_popularity()
        self._known = weights.known & (weights.signals.users > 0)

    def recommend(
        self, user_ids: Sequence[str], num_results: int, exploration: Exploration | None
    ) -> Iterator[Recommendation]:
        """Yield lists in batches; users without a history get popular items."""
        explorer = make_explorer(self.catalogue, exploration, self._known)
        found = pc.index_in(pa.array(user_ids, pa.string()), value_set=self.answers.user_ids)
        users = pc.fill_null(found, -1).to_numpy().astype(np.int64)
        for start in range(0, len(user_ids), BATCH_USERS):
            part = slice(start, start + BATCH_USERS)
            items, scores = self._rank(users[part], num_results)
            yield from self._present(user_ids[part], items, scores, explorer)

    def _rank(self, users: IntArray, num_results: int) -> tuple[IntArray, Float32Array]:
        """Rank a batch; -1 stands for unknown users and, as an item, for a place left empty."""
        popular = self._popular[:num_results]
        items = np.tile(popular, (len(users), 1))
        share = (self.catalogue.users[popular] + 1) / (self.catalogue.users + 1).sum()
        scores = np.tile(share.astype(np.float32), (len(users), 1))
        pairs = self.answers.indptr[users + 1] - self.answers.indptr[users]
        rows = np.flatnonzero((users >= 0) & (pairs > 0))
        if len(rows):
            best, score = self.answers.best(users[rows], len(popular))
            items[rows], scores[rows] = -1, 0
            items[rows, : best.shape[1]], scores[rows, : best.shape[1]] = best, score
        return items, scores

    def _present(
        self, user_ids: Sequence[str], items: IntArray, scores: Float32Array, explorer: Explorer | None
    ) -> Iterator[Recommendation]:
        """Turn a batch of codes into recommendations, explored items put in."""
        places, drawn = np.zeros(items.shape, dtype=np.bool_), items
        if explorer is not None:
            places, drawn = explorer.places(hash_ids(list(user_ids), HASH_SALT), items.shape[1])
        lengths = (items >= 0).sum(axis=1)
        for row, user_id in enumerate(user_ids):
            length = int(lengths[row])
            own, score = items[row, :length].tolist(), scores[row, :length].tolist()
            given = np.flatnonzero(places[row, :length])
            if len(given):
                own, score = insert(own, score, given.tolist(), drawn[row, given].tolist())
            yield Recommendation(
                user_id, self.catalogue.item_ids.take(pa.array(own, pa.int64())).to_pylist(), score
            )

    def write(self, folder: Path) -> None:
        """Write catalogue, weights and prepared answers."""
        self.catalogue.write(folder)
        self.weights.write(folder)
        self.answers.write(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the three parts back."""
        return cls(Catalogue.read(folder), Weights.read(folder), Answers.read(folder))

    @classmethod
    def fit(cls, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
        """Learn on 90 % of the users, measure on the others, then refit factors and counts on all."""
        settings = Settings.parse(hyperparameters)
        interactions = encode(data)
        split = split_users(interactions)
        trial = learn(split.train, settings)
        answers = prepare_answers(trial, split.history, interactions.latest)
        metrics = accuracy_of(cls(describe_items(data, split.train), trial, answers), split.labels)
        final = relearn(trial, interactions)
        catalogue = describe_items(data, interactions)
        model = cls(catalogue, final, prepare_answers(final, interactions, interactions.latest))
        return TrainedModel(model, metrics | coverage_of(model, interactions))

    @classmethod
    def refresh(cls, previous: Path, data: TrainingData) -> TrainedModel:
        """Keep the weights; take new items in for exploration, and everybody's newest history.

        Accuracy is carried over, since the weights are the same; coverage is computed anew.
        """
        interactions = encode(data)
        kept = Weights.read(previous)
        fresh = measure_items(interactions, summarise(interactions, interactions.latest))
        weights = kept.align(interactions.item_ids, fresh)
        catalogue = describe_items(data, interactions, weights.known)
        model = cls(catalogue, weights, prepare_answers(weights, interactions, interactions.latest))
        return TrainedModel(model, read_metrics(previous) | coverage_of(model, interactions))
