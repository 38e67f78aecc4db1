"""Base class and metrics of the models of related items."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.engine.base import Answer, Options, Query, Recommender
from personalize_local.engine.catalog import Catalog
from personalize_local.engine.evaluation import (
    COVERAGE,
    LIST_LENGTH,
    Split,
    accuracy_metrics,
    coverage,
    hash_ids,
)
from personalize_local.engine.interactions import Float32Array, IntArray, Interactions

# Bounds the memory of a block: queried items x catalog items x 4 bytes.
MAX_BLOCK_BYTES = 64 << 20
ROWS_AT_ONCE = 64
# Coverage needs a list per item; more items would change it little.
MAX_COVERAGE_ITEMS = 1_000


def compare(vectors: Float32Array, items: IntArray) -> Float32Array:
    """Multiply the vectors of some items with all vectors, shape (len(items), len(vectors))."""
    near = np.empty((len(items), len(vectors)), dtype=np.float32)
    exact = vectors.T.astype(np.float64)
    for start in range(0, len(items), ROWS_AT_ONCE):
        part = items[start : start + ROWS_AT_ONCE]
        # See top_k.MAX_BLOCK_USERS: whole blocks of doubles make answers independent of each other.
        block = np.zeros((ROWS_AT_ONCE, vectors.shape[1]), dtype=np.float64)
        block[: len(part)] = vectors[part]
        near[start : start + len(part)] = (block @ exact)[: len(part)]
    return near


class RelatedItems(Recommender):
    """Recommend the items most similar to one item, then popular items.

    Subclasses compute one row of similarities per queried item; 0 or less means unrelated.
    """

    has_scores = False
    wants = "item"

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._popular = catalog.by_popularity()

    @abstractmethod
    def similarities(self, items: IntArray, options: Options) -> Float32Array:
        """Compare items with the whole catalog, shape (len(items), len(catalog))."""

    def answer(self, queries: Sequence[Query], num_results: int, options: Options) -> Iterator[Answer]:
        """Yield the related items, never the item itself, then popular ones."""
        ids = pa.array([query.item_id or "" for query in queries], pa.string())
        found = pc.fill_null(pc.index_in(ids, value_set=self.catalog.item_ids), -1)
        items = found.to_numpy().astype(np.int64)
        block = max(1, MAX_BLOCK_BYTES // (4 * max(1, len(self.catalog))))
        for start in range(0, len(items), block):
            yield from self._block(items[start : start + block], num_results, options)

    def _block(self, items: IntArray, num_results: int, options: Options) -> Iterator[Answer]:
        known = np.flatnonzero(items >= 0)
        nearest = dict(
            zip(known.tolist(), self._nearest(items[known], num_results, options), strict=True)
            if len(known)
            else ()
        )
        for row, item in enumerate(items.tolist()):
            codes = self._filled(nearest.get(row, np.zeros(0, dtype=np.int64)), item, num_results)
            yield Answer(self.catalog.item_ids.take(pa.array(codes)).to_pylist())

    def _nearest(self, items: IntArray, num_results: int, options: Options) -> Iterator[IntArray]:
        near = self.similarities(items, options)
        near[np.arange(len(items)), items] = 0
        count = min(num_results, near.shape[1])
        best = np.argpartition(-near, count - 1, axis=1)[:, :count]
        # Sorting by code first makes ties independent of the partition.
        best.sort(axis=1)
        found = np.take_along_axis(near, best, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        related = np.take_along_axis(found, order, axis=1) > 0
        for row, codes in enumerate(np.take_along_axis(best, order, axis=1)):
            yield codes[related[row]]

    def _filled(self, codes: IntArray, item: int, num_results: int) -> IntArray:
        if len(codes) < num_results:
            # Enough even if all of `codes` and the item itself are among them.
            popular = self._popular[: num_results + len(codes) + 1]
            others = popular[~np.isin(popular, codes) & (popular != item)]
            codes = np.concatenate([codes, others])
        return codes[:num_results]


def related_accuracy(model: RelatedItems, split: Split) -> dict[str, float]:
    """Compute the accuracy metrics over the held-out users.

    The service does not publish which item it queries per user; here it is the newest item of the history.
    """
    history, labels = split.history, split.labels
    users = np.intersect1d(history.user, labels.user)
    newest = history.item[np.searchsorted(history.user, users, side="right") - 1]
    queries = [Query(item_id=item) for item in history.item_ids.take(pa.array(newest)).to_pylist()]
    lists = (answer.ids for answer in model.answer(queries, LIST_LENGTH, Options()))
    return accuracy_metrics(zip(lists, labels_of(labels, users), strict=True))


def labels_of(labels: Interactions, users: IntArray) -> Iterator[set[str]]:
    """Yield the distinct items to find, user by user."""
    starts = np.searchsorted(labels.user, users)
    ends = np.searchsorted(labels.user, users, side="right")
    for start, end in zip(starts, ends, strict=True):
        yield set(labels.item_ids.take(pa.array(labels.item[start:end])).to_pylist())


def related_coverage(model: RelatedItems) -> dict[str, float]:
    """Compute coverage over the 25 items most similar to each item."""
    ids: list[str] = model.catalog.item_ids.to_pylist()
    if len(ids) > MAX_COVERAGE_ITEMS:
        order = np.argsort(hash_ids(ids, COVERAGE), kind="stable")
        ids = [ids[place] for place in order[:MAX_COVERAGE_ITEMS]]
    lists = model.answer([Query(item_id=item) for item in ids], LIST_LENGTH, Options())
    return {COVERAGE: coverage((answer.ids for answer in lists), len(model.catalog))}
