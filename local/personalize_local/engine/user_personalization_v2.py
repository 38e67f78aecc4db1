"""Recommend as the user model does, with reasons: recipe aws-user-personalization-v2."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.engine.base import Answer, Options, Query, TrainedModel
from personalize_local.engine.data import TrainingData
from personalize_local.engine.errors import RecipeError
from personalize_local.engine.hyperparameters import read_choice
from personalize_local.engine.user_personalization import UserPersonalization

# The texts of PredictedItem.reason; an item that the user's history speaks for has no reason there.
# https://docs.aws.amazon.com/personalize/latest/dg/API_RS_PredictedItem.html
POPULAR_ITEM = "Popular item"


class UserPersonalizationV2(UserPersonalization):
    """Blend habits, taste and popularity as the first version does, and say which items are popular only.

    https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-user-personalization-v2.html
    The service's is a transformer, whose weights are not published. It manages exploration by itself and
    explores about one place in a thousand; here nothing is explored.
    """

    recipe = "aws-user-personalization-v2"

    def answer(self, queries: Sequence[Query], num_results: int, options: Options) -> Iterator[Answer]:
        """Yield lists with one list of reasons per item, without exploration."""
        ids = pa.array([query.user_id or "" for query in queries], pa.string())
        found = pc.fill_null(pc.index_in(ids, value_set=self.answers.user_ids), -1).to_numpy()
        has_history = (found >= 0) & (self.answers.indptr[found + 1] > self.answers.indptr[found])
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
