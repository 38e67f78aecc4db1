"""Answer for users who did something since the training: their histories anew, the weights as trained."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.engine.base import Answer, Options, Query, Recommender, TrainedModel
from personalize_local.engine.data import TrainingData
from personalize_local.engine.errors import EngineError
from personalize_local.engine.interactions import (
    Interactions,
    as_strings,
    codes,
    distinct_rows,
    sorted_ids,
    timestamps,
)


class Refreshed(Recommender):
    """Ask one model for some users and another one for all others. It is never trained or saved.

    :param trained: answers for everybody but `users`.
    :param fresh: answers for `users`.
    """

    def __init__(self, trained: Recommender, fresh: Recommender, users: frozenset[str]) -> None:
        self.recipe, self.has_scores, self.wants = trained.recipe, trained.has_scores, trained.wants  # type: ignore[misc]  # those of the model that it stands for
        self._trained = trained
        self._fresh = fresh
        self._users = users

    def answer(self, queries: Sequence[Query], num_results: int, options: Options) -> Iterator[Answer]:
        """Yield one answer per query, in their order."""
        is_fresh = [query.user_id in self._users for query in queries]
        parts = [
            model.answer(
                [query for query, of in zip(queries, is_fresh, strict=True) if of == which],
                num_results,
                options,
            )
            for which, model in ((False, self._trained), (True, self._fresh))
        ]
        for which in is_fresh:
            yield next(parts[which])

    def with_histories(self, interactions: pa.Table) -> Recommender:
        """Start from the trained model again."""
        return self._trained.with_histories(interactions)

    def write(self, folder: Path) -> None:
        """Refuse: the trained model is saved already."""
        raise EngineError(f"What users did since the training is not part of a model: {folder}")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Refuse."""
        raise EngineError(f"Nothing of this kind is saved in {folder}")

    @classmethod
    def fit(cls, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
        """Refuse."""
        raise EngineError("Histories are brought to a trained model, they are not one.")


def refreshed(trained: Recommender, fresh: Recommender, interactions: pa.Table) -> Refreshed:
    """Let `fresh` answer for the users of a table, and `trained` for all others."""
    return Refreshed(trained, fresh, frozenset(pc.unique(interactions["USER_ID"]).to_pylist()))


def encode_known(interactions: pa.Table, item_ids: pa.Array) -> Interactions:
    """Encode interactions in the codes of a trained model; items that it does not know are left out.

    :param item_ids: the model's items, sorted.
    """
    known = pc.is_in(as_strings(interactions.column("ITEM_ID")), value_set=item_ids)
    table = interactions.filter(known)
    user_ids = sorted_ids(interactions.column("USER_ID"))
    columns = [
        codes(table.column("USER_ID"), user_ids),
        timestamps(table.column("TIMESTAMP")),
        codes(table.column("ITEM_ID"), item_ids),
    ]
    if "EVENT_TYPE" in table.column_names:
        events = as_strings(pc.fill_null(table.column("EVENT_TYPE"), ""))
        columns.append(codes(events, sorted_ids(events)))
    user, time, item = distinct_rows(columns)[:3]
    return Interactions(user_ids, item_ids, user, item, time)
