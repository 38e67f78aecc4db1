"""Recommend the actions a user is most likely to take: recipe aws-next-best-action."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from personalize_local.engine.action_metrics import coverage_of, measure_actions
from personalize_local.engine.actions import ActionEvents, Actions, read_actions, read_events
from personalize_local.engine.base import Answer, Options, Query, Recommender, TrainedModel
from personalize_local.engine.catalogue import SECONDS_PER_DAY
from personalize_local.engine.data import TrainingData
from personalize_local.engine.hyperparameters import read_whole_number
from personalize_local.engine.interactions import BoolArray, FloatArray, IntArray, encode
from personalize_local.engine.occasions import folds, occasions, split_events
from personalize_local.engine.propensity import Propensity, learn_propensity, tastes

ACTIONS_FILE = "actions.parquet"
USERS_FILE = "action_users.parquet"
RESTING_FILE = "resting.npy"
DEFAULT_PERIOD_DAYS = 14
BATCH_QUERIES = 256
# VALUE runs from 1 to 10; an action of 10 counts twice as much as one of none.
FULL_VALUE = 10.0


class NextBestAction(Recommender):
    """Order actions by the odds that the user takes them; scores lie between 0 and 1.

    https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-next-best-action.html
    Left out are actions that have expired, and those the user took less than REPEAT_FREQUENCY days ago. Both
    are counted from the newest row of the datasets.
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
        """Yield action ids with scores; unknown users get what most users take."""
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
        """Give the likelihood times the worth, shape (len(users), actions)."""
        return np.asarray(self._propensity.likelihood(users) * self._worth)

    def _hidden(self, users: IntArray) -> BoolArray:
        keys = users[:, None] * len(self._actions) + np.arange(len(self._actions))
        return np.asarray(self._expired | np.isin(keys, self._resting))

    def write(self, folder: Path) -> None:
        """Write actions, users and what was learned."""
        columns = {field.name: getattr(self._actions, field.name) for field in fields(Actions)}
        pq.write_table(pa.table(columns), folder / ACTIONS_FILE)
        pq.write_table(pa.table({"user_ids": self._user_ids}), folder / USERS_FILE)
        np.save(folder / RESTING_FILE, np.append(self._latest, self._resting))
        self._propensity.write(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read all back."""
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
        chances = occasions(events, days * SECONDS_PER_DAY)
        found = pc.fill_null(pc.index_in(events.user_ids, value_set=interactions.user_ids), -1)
        users = found.to_numpy().astype(np.int64)
        taste = tastes(interactions, users)
        splits = (split_events(chances, fold) for fold in range(folds(chances)))
        metrics = measure_actions(
            (learn_propensity(train, taste, len(actions)), labels) for train, labels in splits
        )
        propensity = learn_propensity(chances, taste, len(actions))
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
