"""State what the models of related items share: blocks of queries, popular items as the last resort, metrics."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.engine.base import Answer, Options, Query, Recommender
from personalize_local.engine.catalogue import Catalogue
from personalize_local.engine.interactions import Float32Array, IntArray, Interactions
from personalize_local.engine.metrics import COVERAGE, LIST_LENGTH, accuracy_metrics, coverage
from personalize_local.engine.split import Split, hash_ids

# Bounds the memory of a block: items asked for x items of the catalogue x 4 bytes.
MAX_BLOCK_BYTES = 64 << 20
ROWS_AT_ONCE = 64
# Coverage needs a list per item; so many items show nearly all of what more of them would.
MAX_COVERAGE_ITEMS = 1_000


def compare(vectors: Float32Array, items: IntArray) -> Float32Array:
    """Multiply the vectors of some items with all vectors, shape (len(items), len(vectors))."""
    near = np.empty((len(items), len(vectors)), dtype=np.float32)
    for start in range(0, len(items), ROWS_AT_ONCE):
        part = items[start : start + ROWS_AT_ONCE]
        # BLAS rounds differently for other shapes; whole blocks make an answer independent of its neighbours.
        block = np.zeros((ROWS_AT_ONCE, vectors.shape[1]), dtype=np.float32)
        block[: len(part)] = vectors[part]
        near[start : start + len(part)] = (block @ vectors.T)[: len(part)]
    return near


class RelatedItems(Recommender):
    """Answer with the items nearest to one item; whatever is missing is filled with popular items.

    A model gives one row of similarities per item asked for; not above 0 means unrelated.
    """

    has_scores = False
    wants = "item"

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._popular = catalogue.by_popularity()

    @abstractmethod
    def similarities(self, items: IntArray, options: Options) -> Float32Array:
        """Compare items with the whole catalogue, shape (len(items), len(catalogue))."""

    def answer(self, queries: Sequence[Query], num_results: int, options: Options) -> Iterator[Answer]:
        """Yield the related items, never the item itself, then popular ones."""
        ids = pa.array([query.item_id or "" for query in queries], pa.string())
        found = pc.fill_null(pc.index_in(ids, value_set=self.catalogue.item_ids), -1)
        items = found.to_numpy().astype(np.int64)
        block = max(1, MAX_BLOCK_BYTES // (4 * max(1, len(self.catalogue))))
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
            yield Answer(self.catalogue.item_ids.take(pa.array(codes)).to_pylist())

    def _nearest(self, items: IntArray, num_results: int, options: Options) -> Iterator[IntArray]:
        near = self.similarities(items, options)
        near[np.arange(len(items)), items] = 0
        count = min(num_results, near.shape[1])
        best = np.argpartition(-near, count - 1, axis=1)[:, :count]
        # Sorting by code first makes ties fall alike whatever the partition did.
        best.sort(axis=1)
        found = np.take_along_axis(near, best, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        related = np.take_along_axis(found, order, axis=1) > 0
        for row, codes in enumerate(np.take_along_axis(best, order, axis=1)):
            yield codes[related[row]]

    def _filled(self, codes: IntArray, item: int, num_results: int) -> IntArray:
        if len(codes) < num_results:
            # So many are enough, whichever of them are there already.
            popular = self._popular[: num_results + len(codes) + 1]
            others = popular[~np.isin(popular, codes) & (popular != item)]
            codes = np.concatenate([codes, others])
        return codes[:num_results]


def related_accuracy(model: RelatedItems, split: Split) -> dict[str, float]:
    """Compute the accuracy metrics over the held-out users.

    What the service asks for a user is not published; here it is the newest item of his history.
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
    """Compute coverage: what occurs in the 25 items nearest to the items of the catalogue."""
    ids: list[str] = model.catalogue.item_ids.to_pylist()
    if len(ids) > MAX_COVERAGE_ITEMS:
        order = np.argsort(hash_ids(ids, COVERAGE), kind="stable")
        ids = [ids[place] for place in order[:MAX_COVERAGE_ITEMS]]
    lists = model.answer([Query(item_id=item) for item in ids], LIST_LENGTH, Options())
    return {COVERAGE: coverage((answer.ids for answer in lists), len(model.catalogue))}
