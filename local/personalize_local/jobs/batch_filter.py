"""Recommend through a filter: ask the model for longer lists until enough of each is left.

A filter that leaves no more items than are wanted is the quicker way: these are all there is to order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from personalize_local.datasets.parquet import read_parts
from personalize_local.datasets.parts import DatasetParts
from personalize_local.engine import Answer, Options, Query, Recommender
from personalize_local.engine.narrow_answers import NarrowAnswers, narrow_answers
from personalize_local.filters.allowed import Allowed
from personalize_local.filters.apply import FilterData, ItemFilter, MissingParameter, UserFilter
from personalize_local.filters.check import checked_filter
from personalize_local.filters.values import read_filter_values
from personalize_local.jobs.line_input import Line

# First ask for so many more items than wanted: the events of one type that a filter sees, at most.
_EXTRA_ITEMS = 100
_GROWTH = 8  # then for so many times more, until lists are long enough or the catalogue is used up
_BLOCK_QUERIES = 200  # asked for at once, which bounds memory when lists grow to the whole catalogue


@dataclass(frozen=True)
class FilterRequest:
    """Name a filter and the datasets it looks at."""

    expression: str
    datasets: dict[str, DatasetParts]


def filtered_answers(
    recommender: Recommender,
    request: FilterRequest,
    lines: Sequence[Line],
    num_results: int,
    options: Options,
) -> Iterator[Answer]:
    """Yield one answer per line without an error, in their order, and mark lines that lack filter values."""
    test_of = make_tests(request, recommender, lines)
    asked = []
    for line in lines:
        if not line.error:
            try:
                asked.append((line.query, test_of(line)))
            except MissingParameter as missing:
                line.error = f"User error: {missing}"
    return recommend_filtered(recommender, asked, num_results, options)


def make_tests(
    request: FilterRequest, recommender: Recommender, lines: Sequence[Line]
) -> Callable[[Line], Allowed]:
    """Read the data a filter needs for these lines, and return what makes the test of each."""
    schemas = {kind: dataset.schema for kind, dataset in request.datasets.items()}
    expressions = checked_filter(request.expression, schemas)
    used = {condition.dataset for expression in expressions for condition in expression.conditions()}
    tables = {
        kind: read_parts(dataset.parts, kind)
        for kind, dataset in request.datasets.items()
        if kind in used and dataset.parts
    }
    data = FilterData(tables, schemas)
    if recommender.wants.startswith("segment"):
        user_filter = UserFilter(expressions, data)
        return lambda line: user_filter.for_values(read_filter_values(line.entry))
    user_ids = {_user_of(line) for line in lines if not line.error}
    item_filter = ItemFilter(expressions, data, user_ids)
    return lambda line: item_filter.for_user(
        _user_of(line), read_filter_values(line.entry), line.query.item_id
    )


def _user_of(line: Line) -> str:
    """Return the user whose history and row the filter sees: related items are asked for without, or with one.

    In a request, a filter of related items that looks at interactions takes the `userId` beside the `itemId`; that a
    batch line may have one as well is not documented.
    """
    given = line.query.user_id or line.entry.get("userId")
    return given if isinstance(given, str) else ""


def recommend_filtered(
    recommender: Recommender, asked: Sequence[tuple[Query, Allowed]], num_results: int, options: Options
) -> Iterator[Answer]:
    """Yield one list per query and test, in their order, at most `num_results` ids each.

    Rankings are as long as what the filter leaves of them.
    """
    narrow = narrow_answers(recommender, options)
    for start in range(0, len(asked), _BLOCK_QUERIES):
        block = asked[start : start + _BLOCK_QUERIES]
        if recommender.wants == "ranking":
            full = recommender.answer([query for query, _ in block], num_results, options)
            yield from (_kept(one, test, len(one.ids)) for one, (_, test) in zip(full, block, strict=True))
        else:
            done = _narrow(narrow, block, num_results) if narrow else {}
            yield from _block(recommender, block, num_results, options, done)


def _narrow(
    narrow: NarrowAnswers, asked: Sequence[tuple[Query, Allowed]], num_results: int
) -> dict[int, Answer]:
    """Answer what has few items left; give the answers by the places of the queries."""
    few = {}
    for index, (_, test) in enumerate(asked):
        left = test.ids()
        if left is not None and len(left) <= num_results:
            few[index] = left
    if not few:
        return {}
    return dict(zip(few, narrow([asked[index][0] for index in few], list(few.values())), strict=True))


def _block(
    recommender: Recommender,
    asked: Sequence[tuple[Query, Allowed]],
    num_results: int,
    options: Options,
    done: dict[int, Answer],
) -> list[Answer]:
    length = num_results + _EXTRA_ITEMS
    while len(done) < len(asked):
        pending = [index for index in range(len(asked)) if index not in done]
        lists = recommender.answer([asked[index][0] for index in pending], length, options)
        for index, full in zip(pending, lists, strict=True):
            kept = _kept(full, asked[index][1], num_results)
            if len(kept.ids) == num_results or len(full.ids) < length:
                done[index] = kept
        length *= _GROWTH
    return [done[index] for index in range(len(asked))]


def _kept(full: Answer, test: Allowed, most: int) -> Answer:
    places = test.keep(full.ids, most)
    scores, reasons = full.scores, full.reasons
    return replace(
        full,
        ids=[full.ids[place] for place in places],
        # In a ranking the last ids may have no score.
        scores=None if scores is None else [scores[place] for place in places if place < len(scores)],
        reasons=None if reasons is None else [reasons[place] for place in places],
    )
