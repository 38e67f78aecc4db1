"""Recommend items to a user: recipes aws-user-personalization and aws-user-personalization-v2."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.engine.base import Answer, Options, Query, Recommender, TrainedModel, read_metrics
from personalize_local.engine.catalog import Catalog, describe_items
from personalize_local.engine.evaluation import accuracy_of, coverage_of, hash_ids, split_users
from personalize_local.engine.exploration import Explorer, insert, make_explorer
from personalize_local.engine.fold_in import encode_known, fold_in_users
from personalize_local.engine.histories import summarise
from personalize_local.engine.incremental_update import update_model
from personalize_local.engine.inputs import RecipeError, TrainingData, read_choice
from personalize_local.engine.interactions import Float32Array, IntArray, encode
from personalize_local.engine.precomputed import PrecomputedScores, positions, precompute_scores
from personalize_local.engine.top_k import TopKScorer
from personalize_local.engine.weights import Hyperparameters, Weights, learn, relearn

# Bounds the memory of the lists.
BATCH_USERS = 2_048
HASH_SALT = "exploration"
# PredictedItem.reason; items recommended by the user's history have none.
# https://docs.aws.amazon.com/personalize/latest/dg/API_RS_PredictedItem.html
POPULAR_ITEM = "Popular item"


class UserPersonalization(Recommender):
    """Combine repeat purchases, user embeddings and popularity; explore cold items.

    https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-new-item-USER_PERSONALIZATION.html
    Scores are a softmax over the catalog. `precomputed` holds what they are made of, `scorer` puts it together.
    """

    recipe = "aws-user-personalization"
    has_scores = True
    wants = "user"

    def __init__(self, catalog: Catalog, weights: Weights, precomputed: PrecomputedScores) -> None:
        self.catalog = catalog
        self.weights = weights
        self.precomputed = precomputed
        self._popular = catalog.by_popularity()
        self.scorer = TopKScorer(precomputed, weights.ensemble.calibration)
        self._known = weights.known & (weights.signals.users > 0)

    def answer(self, queries: Sequence[Query], num_results: int, options: Options) -> Iterator[Answer]:
        """Yield lists in batches; users without a history get popular items."""
        explorer = make_explorer(self.catalog, options.exploration, self._known)
        user_ids = [query.user_id or "" for query in queries]
        users = positions(pa.array(user_ids, pa.string()), self.precomputed.user_ids)
        for start in range(0, len(user_ids), BATCH_USERS):
            part = slice(start, start + BATCH_USERS)
            items, scores = self._rank(users[part], num_results)
            yield from self._present(user_ids[part], items, scores, explorer)

    def _rank(self, users: IntArray, num_results: int) -> tuple[IntArray, Float32Array]:
        """Rank a batch; -1 is an unknown user, or an unfilled position."""
        popular = self._popular[:num_results]
        items = np.tile(popular, (len(users), 1))
        share = (self.catalog.users[popular] + 1) / (self.catalog.users + 1).sum()
        scores = np.tile(share.astype(np.float32), (len(users), 1))
        pairs = self.precomputed.indptr[users + 1] - self.precomputed.indptr[users]
        rows = np.flatnonzero((users >= 0) & (pairs > 0))
        if len(rows):
            items[rows], scores[rows] = self.scorer.top_k(users[rows], len(popular))
        return items, scores

    def _present(
        self, user_ids: Sequence[str], items: IntArray, scores: Float32Array, explorer: Explorer | None
    ) -> Iterator[Answer]:
        """Turn a batch of codes into answers, with explored items."""
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
        ids = self.catalog.item_ids.take(flat).to_pylist()
        ends = np.cumsum([len(own) for own in lists]).tolist()
        for own, score, end in zip(lists, odds, ends, strict=True):
            yield Answer(ids[end - len(own) : end], score)

    def with_histories(self, interactions: pa.Table) -> Recommender:
        """Fold some users in with all their interactions; drop items unknown to the model."""
        return fold_in_users(self, self.with_users(interactions), interactions)

    def with_items(self, data: TrainingData) -> Recommender:
        """Add new items as candidates: for exploration, and for users with folded-in interactions with them."""
        updated = update_model(self.weights, self.precomputed, data)
        return type(self)(updated.catalog, updated.weights, updated.precomputed)

    def with_users(self, interactions: pa.Table) -> Self:
        """Return a model of these users only, with the same weights."""
        known = encode_known(interactions, self.catalog.item_ids)
        return type(self)(
            self.catalog, self.weights, precompute_scores(self.weights, known, items_of=self.precomputed)
        )

    def write(self, folder: Path) -> None:
        """Write catalog, weights and prepared precomputed."""
        self.catalog.write(folder)
        self.weights.write(folder)
        self.precomputed.write(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what :meth:`write` wrote."""
        return cls(Catalog.read(folder), Weights.read(folder), PrecomputedScores.read(folder))

    @classmethod
    def fit(cls, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
        """Learn on 90 % of the users, measure on the others, then refit factors and counts on all."""
        settings = Hyperparameters.parse(hyperparameters)
        interactions = encode(data)
        split = split_users(interactions)
        trial = learn(split.train, settings)
        precomputed = precompute_scores(trial, split.history)
        metrics = accuracy_of(cls(describe_items(data, split.train), trial, precomputed), split.labels)
        histories = summarise(interactions)
        final = relearn(trial, interactions, histories)
        precomputed = precompute_scores(final, interactions, histories)
        model = cls(
            describe_items(data, interactions, users=precomputed.users_of_items()), final, precomputed
        )
        return TrainedModel(model, metrics | coverage_of(model, interactions))

    @classmethod
    def refresh(cls, previous: Path, data: TrainingData) -> TrainedModel:
        """Keep the weights; add new items for exploration, and update the histories of users with new rows.

        Accuracy is carried over, because the weights are the same; coverage is computed again.
        """
        updated = update_model(Weights.read(previous), PrecomputedScores.read(previous), data)
        model = cls(updated.catalog, updated.weights, updated.precomputed)
        return TrainedModel(model, read_metrics(previous) | coverage_of(model, updated.interactions))


class UserPersonalizationV2(UserPersonalization):
    """Recommend as the first version does, with a reason for items that are only popular.

    https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-user-personalization-v2.html
    The service uses an unpublished transformer. It configures exploration automatically and explores about one position
    in a thousand; here nothing is explored.
    """

    recipe = "aws-user-personalization-v2"

    def answer(self, queries: Sequence[Query], num_results: int, options: Options) -> Iterator[Answer]:
        """Yield lists with one list of reasons per item, without exploration."""
        ids = pa.array([query.user_id or "" for query in queries], pa.string())
        found = pc.fill_null(pc.index_in(ids, value_set=self.precomputed.user_ids), -1).to_numpy()
        has_history = (found >= 0) & (self.precomputed.indptr[found + 1] > self.precomputed.indptr[found])
        lists = super().answer(queries, num_results, replace(options, exploration=None))
        for known, answer in zip(has_history.tolist(), lists, strict=True):
            reasons: list[str] = [] if known else [POPULAR_ITEM]
            yield replace(answer, reasons=[reasons for _ in answer.ids])

    @classmethod
    def fit(cls, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
        """Fit the user model; `apply_recency_bias` is its recency mask."""
        return super().fit(data, apply_recency_bias(hyperparameters))

    @classmethod
    def refresh(cls, previous: Path, data: TrainingData) -> TrainedModel:
        """Refuse training mode UPDATE."""
        raise RecipeError(f"Training mode UPDATE is not available for recipe {cls.recipe}.")


def apply_recency_bias(hyperparameters: Mapping[str, str]) -> dict[str, str]:
    """Translate the hyperparameter of the second versions; raise :class:`HyperparameterError`."""
    apply = read_choice(hyperparameters, "apply_recency_bias", "true", {"true": 1.0, "false": 0.0})
    return {"recency_mask": "True" if apply else "False"}
