"""Find the users most likely to take an item, or items with given attributes.

Recipes aws-item-affinity and aws-item-attribute-affinity.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from lark import Lark, Tree, UnexpectedInput

from personalize_local.engine.base import Answer, Options, Query, Recommender, TrainedModel
from personalize_local.engine.evaluation import hash_ids
from personalize_local.engine.inputs import TrainingData
from personalize_local.engine.interactions import BoolArray, IntArray, Interactions, codes, encode
from personalize_local.engine.segments import (
    UserScorer,
    learn_weights,
    measure_segments,
    model_of,
    split_rows,
    top_users,
)
from personalize_local.engine.user_personalization import UserPersonalization
from personalize_local.engine.weights import Hyperparameters

_GRAMMAR = r"""
start: condition ("AND"i condition)*
condition: "ITEMS"i "." NAME "=" VALUE
NAME: /[A-Za-z_][A-Za-z0-9_]*/
VALUE: /"[^"]*"|'[^']*'/
%ignore /\s+/
"""
_PARSER = Lark(_GRAMMAR, parser="lalr")
# More items would change the metrics little.
MAX_MEASURED_ITEMS = 300
ITEMS_FILE = "attributes.parquet"
TEXT_FILE = "textual.json"
# Attribute values to measure, most frequent first; more would change the metrics little.
MAX_MEASURED_VALUES = 50


class ExpressionError(ValueError):
    """An expression is invalid; the message goes into the output line."""


@dataclass(frozen=True)
class AttributeCondition:
    """Select items by a value of a column, alone or among others separated by `|`."""

    column: str
    value: str


def parse_attributes(text: str) -> list[AttributeCondition]:
    """Read an expression; raise :class:`ExpressionError`."""
    try:
        tree = _PARSER.parse(text)
    except UnexpectedInput as error:
        place = getattr(error, "column", None) or len(text) + 1
        raise ExpressionError(
            f"Invalid itemAttributes expression at character {place}: expected"
            ' ITEMS.<column> = "<value>", joined by AND'
        ) from error
    conditions = (part.children for part in tree.children if isinstance(part, Tree))
    return [AttributeCondition(str(name), str(value)[1:-1]) for name, value in conditions]


def matching(items: pa.Table, conditions: list[AttributeCondition], hidden: str | None = None) -> BoolArray:
    """Mark the rows that meet all conditions.

    :param hidden: the textual column, which cannot be queried.
    :raises ExpressionError: for a column that does not exist, or is textual.
    """
    found = np.ones(items.num_rows, dtype=np.bool_)
    by_name = {name.upper(): name for name in items.column_names if name not in {"ITEM_ID", hidden}}
    for condition in conditions:
        name = by_name.get(condition.column.upper())
        if name is None:
            raise ExpressionError(f"Items has no column {condition.column} that can be asked for")
        found &= holds(items.column(name), condition.value)
    return found


def holds(column: pa.ChunkedArray, value: str) -> BoolArray:
    """Mark the cells that contain the value; empty cells contain none."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        fenced = pc.binary_join_element_wise("|", column, "|", "")
        hit = pc.match_substring(fenced, f"|{value}|")
    else:
        try:
            hit = pc.equal(pc.cast(column, pa.float64()), float(value))
        except ValueError:
            return np.zeros(len(column), dtype=np.bool_)
    return np.asarray(pc.fill_null(hit, fill_value=False).to_numpy(zero_copy_only=False), dtype=np.bool_)


class ItemAffinity(Recommender):
    """Order all users by their odds of taking the item next, own items by repeat purchases, others by embeddings.

    https://docs.aws.amazon.com/personalize/latest/dg/item-affinity-recipe.html
    """

    recipe: ClassVar[str] = "aws-item-affinity"
    has_scores = False
    wants = "segment_item"

    def __init__(self, users: UserPersonalization) -> None:
        self._model = users
        self._scorer = UserScorer(users)

    def answer(self, queries: Sequence[Query], num_results: int, options: Options) -> Iterator[Answer]:
        """Yield user ids; an error for items outside the training data."""
        ids = pa.array([query.item_id or "" for query in queries], pa.string())
        items = pc.fill_null(pc.index_in(ids, value_set=self._model.catalog.item_ids), -1).to_pylist()
        for query, item in zip(queries, items, strict=True):
            if item < 0:
                error = f"User error: The item {query.item_id} is not part of the training data"
                yield Answer([], error=error)
            else:
                users = top_users(self._scorer.for_item(item), num_results)
                yield Answer(self._scorer.user_ids.take(pa.array(users)).to_pylist())

    def write(self, folder: Path) -> None:
        """Write the user model."""
        self._model.write(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the user model back."""
        return cls(UserPersonalization.read(folder))

    @classmethod
    def fit(cls, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
        """Measure on the newest fifth of every user's rows, then refit on all."""
        settings = Hyperparameters.parse(hyperparameters)
        interactions = encode(data)
        train, labels = split_rows(interactions)
        trial = learn_weights(train, settings)
        scorer = UserScorer(model_of(data, train, trial))
        metrics = measure_segments(scorer, labels, measured_items(labels))
        return TrainedModel(
            cls(model_of(data, interactions, learn_weights(interactions, settings, trial))), metrics
        )


def measured_items(labels: Interactions) -> list[IntArray]:
    """Choose items to measure by the hashes of their ids, and return one set per item."""
    items = np.unique(labels.item)
    if len(items) > MAX_MEASURED_ITEMS:
        hashes = hash_ids(labels.item_ids.take(pa.array(items)).to_pylist(), "measured")
        items = np.sort(items[np.argsort(hashes, kind="stable")[:MAX_MEASURED_ITEMS]])
    return [np.array([item]) for item in items]


class ItemAttributeAffinity(Recommender):
    """Order all users by how many items with the attributes they are expected to take next.

    https://docs.aws.amazon.com/personalize/latest/dg/item-attribute-affinity-recipe.html
    """

    recipe = "aws-item-attribute-affinity"
    has_scores = False
    wants = "segment_attributes"

    def __init__(self, users: UserPersonalization, items: pa.Table, textual: str | None) -> None:
        self._model = users
        self._scorer = UserScorer(users)
        self._items = items
        self._textual = textual
        self._place = codes(items.column("ITEM_ID"), users.catalog.item_ids)

    def answer(self, queries: Sequence[Query], num_results: int, options: Options) -> Iterator[Answer]:
        """Yield user ids: none when no item has the attributes; an error for an invalid expression."""
        for query in queries:
            try:
                rows = matching(self._items, parse_attributes(query.attributes or ""), self._textual)
            except ExpressionError as error:
                yield Answer([], error=f"User error: {error}")
                continue
            scores = self._scorer.for_items(np.unique(self._place[rows]))
            users = top_users(scores, num_results)
            yield Answer(self._scorer.user_ids.take(pa.array(users)).to_pylist())

    def write(self, folder: Path) -> None:
        """Write the user model and the attributes."""
        self._model.write(folder)
        pq.write_table(self._items, folder / ITEMS_FILE)
        (folder / TEXT_FILE).write_text(json.dumps(self._textual))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what :meth:`write` wrote."""
        textual = json.loads((folder / TEXT_FILE).read_text())
        return cls(UserPersonalization.read(folder), pq.read_table(folder / ITEMS_FILE), textual)

    @classmethod
    def fit(cls, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
        """Measure on the newest fifth of every user's rows, then refit on all.

        :raises TrainingDataError: without Items.
        """
        settings = Hyperparameters.parse(hyperparameters)
        items = data.described_items(cls.recipe)
        textual = data.item_text.textual
        interactions = encode(data)
        train, labels = split_rows(interactions)
        trial = learn_weights(train, settings)
        scorer = UserScorer(model_of(data, train, trial))
        metrics = measure_segments(scorer, labels, measured_sets(items, textual, interactions))
        users = model_of(data, interactions, learn_weights(interactions, settings, trial))
        return TrainedModel(cls(users, items, textual), metrics)


def measured_sets(items: pa.Table, textual: str | None, interactions: Interactions) -> list[IntArray]:
    """List the items of the most frequent categories, one set per category."""
    place = codes(items.column("ITEM_ID"), interactions.item_ids)
    sets = []
    for name in items.column_names:
        if name in {"ITEM_ID", textual} or not pa.types.is_string(items.column(name).type):
            continue
        values = pc.list_flatten(pc.split_pattern(items.column(name).combine_chunks(), "|"))
        for value in values.drop_null().unique().to_pylist():
            sets.append(np.unique(place[matching(items, [AttributeCondition(name, value)], textual)]))
            if len(sets) > 10 * MAX_MEASURED_VALUES:
                break
    sets.sort(key=lambda found: (-len(found), found.tolist()))
    # A category of all items does not separate users.
    return [found for found in sets if len(found) < interactions.num_items][:MAX_MEASURED_VALUES]
