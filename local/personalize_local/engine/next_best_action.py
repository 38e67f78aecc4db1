"""Recommend the actions a user is most likely to take: recipe aws-next-best-action."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from personalize_local.engine.base import Answer, Options, Query, Recommender, TrainedModel
from personalize_local.engine.catalog import SECONDS_PER_DAY
from personalize_local.engine.evaluation import COVERAGE, MAX_COVERAGE_USERS
from personalize_local.engine.exposures import (
    ActionEvents,
    Actions,
    exposures,
    folds,
    read_actions,
    read_events,
    split_events,
)
from personalize_local.engine.inputs import TrainingData, read_whole_number
from personalize_local.engine.interactions import BoolArray, FloatArray, IntArray, encode
from personalize_local.engine.propensity import Propensity, interaction_embeddings, learn_propensity

ACTIONS_FILE = "actions.parquet"
USERS_FILE = "action_users.parquet"
RESTING_FILE = "resting.npy"
DEFAULT_PERIOD_DAYS = 14
BATCH_QUERIES = 256
# VALUE is 1 to 10; an action with VALUE 10 counts twice as much as one without VALUE.
FULL_VALUE = 10.0
# Default numResults of GetActionRecommendations.
DEFAULT_RESULTS = 5
PRECISION, RECALL, AUC = "precision_at_5", "recall_at_5", "area_under_curve"


class NextBestAction(Recommender):
    """Order actions by the odds that the user takes them; scores are between 0 and 1.

    https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-next-best-action.html
    Expired actions are excluded, and those the user took less than REPEAT_FREQUENCY days ago. Both are relative to the
    newest row of the datasets.
    """

    recipe = "aws-next-best-action"
    has_scores = True
    wants = "action"

    def __init__(
        self, actions: Actions, user_ids: pa.Array, propensity: Propensity, resting: IntArray, latest: int
    ) -> None:
        self._actions = actions
        self._user_ids = user_ids
        self._propensity = propensity
        self._resting = resting
        self._latest = latest
        self._expired = actions.expires <= latest
        self._worth = (1 + np.nan_to_num(np.clip(actions.value / FULL_VALUE, 0, 1))) / 2

    def answer(self, queries: Sequence[Query], num_results: int, options: Options) -> Iterator[Answer]:
        """Yield action ids with scores; unknown users get the most popular actions."""
        ids = pa.array([query.user_id or "" for query in queries], pa.string())
        found = pc.fill_null(pc.index_in(ids, value_set=self._user_ids), -1)
        users = found.to_numpy().astype(np.int64)
        for start in range(0, len(users), BATCH_QUERIES):
            part = users[start : start + BATCH_QUERIES]
            for scores, hidden in zip(self.scores(part), self._hidden(part), strict=True):
                order = np.argsort(-scores, kind="stable")
                best = order[~hidden[order]][:num_results]
                yield Answer(self._actions.ids.take(pa.array(best)).to_pylist(), scores[best].tolist())

    def scores(self, users: IntArray) -> FloatArray:
        """Return the likelihood times the action's value, shape (len(users), actions)."""
        return np.asarray(self._propensity.likelihood(users) * self._worth)

    def _hidden(self, users: IntArray) -> BoolArray:
        keys = users[:, None] * len(self._actions) + np.arange(len(self._actions))
        return np.asarray(self._expired | np.isin(keys, self._resting))

    def write(self, folder: Path) -> None:
        """Write actions, users and the propensity model."""
        columns = {field.name: getattr(self._actions, field.name) for field in fields(Actions)}
        pq.write_table(pa.table(columns), folder / ACTIONS_FILE)
        pq.write_table(pa.table({"user_ids": self._user_ids}), folder / USERS_FILE)
        np.save(folder / RESTING_FILE, np.append(self._latest, self._resting))
        self._propensity.write(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what :meth:`write` wrote."""
        table = pq.read_table(folder / ACTIONS_FILE).combine_chunks()
        ids = table.column("ids").chunk(0)
        actions = Actions(ids, *(table.column(field.name).to_numpy() for field in fields(Actions)[1:]))
        users = pq.read_table(folder / USERS_FILE).combine_chunks().column("user_ids").chunk(0)
        resting = np.load(folder / RESTING_FILE)
        return cls(actions, users, Propensity.read(folder), resting[1:], int(resting[0]))

    @classmethod
    def fit(cls, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
        """Measure on held-out users, then learn from all.

        :raises TrainingDataError: without Actions or Action_Interactions.
        """
        days = read_whole_number(hyperparameters, "action_optimization_period", DEFAULT_PERIOD_DAYS, 7, 28)
        interactions = encode(data)
        actions = read_actions(data, cls.recipe)
        events = read_events(data, actions, cls.recipe)
        exposed = exposures(events, days * SECONDS_PER_DAY)
        found = pc.fill_null(pc.index_in(events.user_ids, value_set=interactions.user_ids), -1)
        users = found.to_numpy().astype(np.int64)
        embeddings = interaction_embeddings(interactions, users)
        splits = (split_events(exposed, fold) for fold in range(folds(exposed)))
        metrics = measure_actions(
            (learn_propensity(train, embeddings, len(actions)), labels) for train, labels in splits
        )
        propensity = learn_propensity(exposed, embeddings, len(actions))
        metrics |= coverage_of(propensity, len(events.user_ids))
        latest = max(interactions.latest, int(events.time.max()))
        model = cls(
            actions,
            events.user_ids,
            propensity,
            resting_pairs(events, actions, latest),
            latest,
        )
        return TrainedModel(model, metrics)


def resting_pairs(events: ActionEvents, actions: Actions, latest: int) -> IntArray:
    """List the pairs (user * actions + action) that were taken less than the action's repeat time ago."""
    recent = events.taken & (latest - events.time < actions.repeat_seconds[events.action])
    return np.unique(events.user[recent] * len(actions) + events.action[recent])


def measure_actions(parts: Iterable[tuple[Propensity, ActionEvents]]) -> dict[str, float]:
    """Measure precision and recall of the first five actions, and the AUC of the likelihoods.

    Precision and recall are means over the users who took something; AUC is over the exposures of all users of a
    part, then the mean over parts by their pairs of a success and a failure; 0.5 without any such pair.

    :param parts: models with the labels that were held out from them.
    """
    precisions, recalls, areas, pairs = [], [], [], []
    for model, labels in parts:
        takers = np.unique(labels.user[labels.taken])
        for user, scores in zip(takers, model.likelihood(takers), strict=True):
            best = np.argsort(-scores, kind="stable")[:DEFAULT_RESULTS]
            taken = np.unique(labels.action[(labels.user == user) & labels.taken])
            hits = len(np.intersect1d(best, taken))
            precisions.append(hits / DEFAULT_RESULTS)
            recalls.append(hits / len(taken))
        areas.append(area_under_curve(model.odds(labels.user, labels.action), labels.taken))
        pairs.append(int(labels.taken.sum() * (~labels.taken).sum()))
    return {
        PRECISION: float(np.mean(precisions)) if precisions else 0.0,
        RECALL: float(np.mean(recalls)) if recalls else 0.0,
        AUC: float(np.average(areas, weights=pairs)) if any(pairs) else 0.5,
    }


def coverage_of(model: Propensity, num_users: int) -> dict[str, float]:
    """Compute the share of actions among the first five of any user, over the first 3,000 users."""
    likelihood = model.likelihood(np.arange(min(num_users, MAX_COVERAGE_USERS)))
    best = np.argsort(-likelihood, axis=1, kind="stable")[:, :DEFAULT_RESULTS]
    return {COVERAGE: len(np.unique(best)) / len(model.action_rate)}


def area_under_curve(scores: FloatArray, success: BoolArray) -> float:
    """Compute the probability that a success scores above a failure; ties count half."""
    good, bad = scores[success], np.sort(scores[~success])
    if len(good) == 0 or len(bad) == 0:
        return 0.5
    below = np.searchsorted(bad, good, side="left") + np.searchsorted(bad, good, side="right")
    return float(below.mean() / 2 / len(bad))
