"""Fold users with new interactions into a trained model without changing its weights."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.engine.base import Answer, Options, Query, Recommender, TrainedModel
from personalize_local.engine.inputs import EngineError, TrainingData
from personalize_local.engine.interactions import (
    Interactions,
    as_strings,
    codes,
    distinct_rows,
    sorted_ids,
    timestamps,
)


class FoldedIn(Recommender):
    """Query one model for some users and another one for all others. It is never trained or saved.

    :param trained: serves all users but `users`.
    :param folded_in: serves `users`.
    """

    def __init__(self, trained: Recommender, folded_in: Recommender, users: frozenset[str]) -> None:
        self.recipe, self.has_scores, self.wants = trained.recipe, trained.has_scores, trained.wants  # type: ignore[misc]  # copied from the wrapped model
        self._trained = trained
        self._folded_in = folded_in
        self._users = users

    def answer(self, queries: Sequence[Query], num_results: int, options: Options) -> Iterator[Answer]:
        """Yield one answer per query, in their order."""
        is_folded_in = [query.user_id in self._users for query in queries]
        parts = [
            model.answer(
                [query for query, of in zip(queries, is_folded_in, strict=True) if of == which],
                num_results,
                options,
            )
            for which, model in ((False, self._trained), (True, self._folded_in))
        ]
        for which in is_folded_in:
            yield next(parts[which])

    def with_histories(self, interactions: pa.Table) -> Recommender:
        """Fold the users into the trained model."""
        return self._trained.with_histories(interactions)

    def write(self, folder: Path) -> None:
        """Refuse: the trained model is saved already."""
        raise EngineError(f"A model with folded-in users cannot be saved: {folder}")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Refuse."""
        raise EngineError(f"A model with folded-in users cannot be read: {folder}")

    @classmethod
    def fit(cls, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
        """Refuse."""
        raise EngineError("A model with folded-in users cannot be trained.")


def fold_in_users(trained: Recommender, folded_in: Recommender, interactions: pa.Table) -> FoldedIn:
    """Serve the users of `interactions` from `folded_in`, all others from `trained`."""
    return FoldedIn(trained, folded_in, frozenset(pc.unique(interactions["USER_ID"]).to_pylist()))


def encode_known(interactions: pa.Table, item_ids: pa.Array) -> Interactions:
    """Encode interactions in the item codes of a trained model; drop items unknown to it.

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
