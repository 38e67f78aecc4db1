"""Recommend through a filter: ask the model for longer lists until enough of each is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from personalize_local.datasets.parquet import read_parts
from personalize_local.datasets.parts import DatasetParts
from personalize_local.engine import Exploration, Recommendation, Recommender
from personalize_local.filters.apply import FilterData, ItemFilter
from personalize_local.filters.check import checked_filter

# First ask for so many more items than wanted: the events of one type that a filter sees, at most.
_EXTRA_ITEMS = 100
_GROWTH = 8  # then for so many times more, until lists are long enough or the catalogue is used up
_BLOCK_USERS = 200  # users asked for at once, which bounds memory when lists grow to the whole catalogue

Test = Callable[[str], bool]


@dataclass(frozen=True)
class FilterRequest:
    """Name a filter and the datasets it looks at."""

    expression: str
    datasets: dict[str, DatasetParts]


def make_item_filter(request: FilterRequest, user_ids: set[str]) -> ItemFilter:
    """Read the data a filter needs for these users."""
    schemas = {kind: dataset.schema for kind, dataset in request.datasets.items()}
    expressions = checked_filter(request.expression, schemas)
    used = {condition.dataset for expression in expressions for condition in expression.conditions()}
    tables = {
        kind: read_parts(dataset.parts, kind)
        for kind, dataset in request.datasets.items()
        if kind in used and dataset.parts
    }
    return ItemFilter(expressions, FilterData(tables, schemas), user_ids)


def recommend_filtered(
    recommender: Recommender,
    asked: Sequence[tuple[str, Test]],
    num_results: int,
    exploration: Exploration | None,
) -> Iterator[Recommendation]:
    """Yield one list per user and test, in their order, at most `num_results` items each."""
    for start in range(0, len(asked), _BLOCK_USERS):
        yield from _block(recommender, asked[start : start + _BLOCK_USERS], num_results, exploration)


def _block(
    recommender: Recommender,
    asked: Sequence[tuple[str, Test]],
    num_results: int,
    exploration: Exploration | None,
) -> list[Recommendation]:
    done: dict[int, Recommendation] = {}
    length = num_results + _EXTRA_ITEMS
    while len(done) < len(asked):
        pending = [index for index in range(len(asked)) if index not in done]
        lists = recommender.recommend([asked[index][0] for index in pending], length, exploration)
        for index, full in zip(pending, lists, strict=True):
            kept = _kept(full, asked[index][1], num_results)
            if len(kept.item_ids) == num_results or len(full.item_ids) < length:
                done[index] = kept
        length *= _GROWTH
    return [done[index] for index in range(len(asked))]


def _kept(full: Recommendation, test: Test, num_results: int) -> Recommendation:
    places = [place for place, item in enumerate(full.item_ids) if test(item)][:num_results]
    scores = None if full.scores is None else [full.scores[place] for place in places]
    return Recommendation(full.user_id, [full.item_ids[place] for place in places], scores)
