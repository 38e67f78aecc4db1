"""Recommend what a user will take next, again or for the first time: recipe aws-user-personalization."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from personalize_local.engine.answers import Answers, positions, prepare_answers
from personalize_local.engine.base import Answer, Options, Query, Recommender, TrainedModel, read_metrics
from personalize_local.engine.best import Scorer
from personalize_local.engine.catalogue import Catalogue, describe_items
from personalize_local.engine.data import TrainingData
from personalize_local.engine.evaluation import accuracy_of, coverage_of
from personalize_local.engine.exploration import Explorer, insert, make_explorer
from personalize_local.engine.fresh import encode_known, refreshed
from personalize_local.engine.histories import summarise
from personalize_local.engine.interactions import Float32Array, IntArray, encode
from personalize_local.engine.learning import learn, relearn
from personalize_local.engine.renewal import renew
from personalize_local.engine.split import hash_ids, split_users
from personalize_local.engine.weights import Settings, Weights

# Bounds what is held of the lists at once; lists are handed out one by one.
BATCH_USERS = 2_048
HASH_SALT = "exploration"


class UserPersonalization(Recommender):
    """Blend habits, taste and popularity; explore cold items.

    https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-new-item-USER_PERSONALIZATION.html
    Scores are a softmax over the catalogue. `answers` holds what they are made of, `scorer` puts it together.
    """

    recipe = "aws-user-personalization"
    has_scores = True
    wants = "user"

    def __init__(self, catalogue: Catalogue, weights: Weights, answers: Answers) -> None:
        self.catalogue = catalogue
        self.weights = weights
        self.answers = answers
        self._popular = catalogue.by_popularity()
        self.scorer = Scorer(answers, weights.blend.bend)
        self._known = weights.known & (weights.signals.users > 0)

    def answer(self, queries: Sequence[Query], num_results: int, options: Options) -> Iterator[Answer]:
        """Yield lists in batches; users without a history get popular items."""
        explorer = make_explorer(self.catalogue, options.exploration, self._known)
        user_ids = [query.user_id or "" for query in queries]
        users = positions(pa.array(user_ids, pa.string()), self.answers.user_ids)
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
            items[rows], scores[rows] = self.scorer.best(users[rows], len(popular))
        return items, scores

    def _present(
        self, user_ids: Sequence[str], items: IntArray, scores: Float32Array, explorer: Explorer | None
    ) -> Iterator[Answer]:
        """Turn a batch of codes into recommendations, explored items put in."""
        lengths = (items >= 0).sum(axis=1).tolist()
        lists = [items[row, :length].tolist() for row, length in enumerate(lengths)]
        odds = [scores[row, :length].tolist() for row, length in enumerate(lengths)]
        if explorer is not None:
            places, drawn = explorer.places(hash_ids(list(user_ids), HASH_SALT), items.shape[1])
            for row in np.flatnonzero(places.any(axis=1)).tolist():
                given = np.flatnonzero(places[row, : lengths[row]])
                if len(given):
                    lists[row], odds[row] = insert(
                        lists[row], odds[row], given.tolist(), drawn[row, given].tolist()
                    )
        flat = pa.array([item for own in lists for item in own], pa.int64())
        ids = self.catalogue.item_ids.take(flat).to_pylist()
        ends = np.cumsum([len(own) for own in lists]).tolist()
        for own, score, end in zip(lists, odds, ends, strict=True):
            yield Answer(ids[end - len(own) : end], score)

    def with_histories(self, interactions: pa.Table) -> Recommender:
        """Work out anew what some users get, from all that they did; items unknown to the model are left out."""
        return refreshed(self, self.told(interactions), interactions)

    def told(self, interactions: pa.Table) -> Self:
        """Return a model with the same weights that knows these users only."""
        known = encode_known(interactions, self.catalogue.item_ids)
        return type(self)(
            self.catalogue, self.weights, prepare_answers(self.weights, known, like=self.answers)
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
        answers = prepare_answers(trial, split.history)
        metrics = accuracy_of(cls(describe_items(data, split.train), trial, answers), split.labels)
        histories = summarise(interactions)
        final = relearn(trial, interactions, histories)
        answers = prepare_answers(final, interactions, histories)
        model = cls(describe_items(data, interactions, users=answers.users_of_items()), final, answers)
        return TrainedModel(model, metrics | coverage_of(model, interactions))

    @classmethod
    def refresh(cls, previous: Path, data: TrainingData) -> TrainedModel:
        """Keep the weights; take new items in for exploration, and the newest history of whoever did something.

        Accuracy is carried over, since the weights are the same; coverage is computed anew.
        """
        renewal = renew(Weights.read(previous), Answers.read(previous), data)
        model = cls(renewal.catalogue, renewal.weights, renewal.answers)
        return TrainedModel(model, read_metrics(previous) | coverage_of(model, renewal.interactions))
