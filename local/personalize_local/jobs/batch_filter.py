"""Recommend through a filter: request longer lists from the model until enough items of each pass.

If a filter allows at most as many items as requested, rank only those, which is faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from personalize_local.datasets.parquet import DatasetParts, read_parts
from personalize_local.engine import Answer, Options, Query, Recommender
from personalize_local.engine.filtered_ranking import FilteredRanker, filtered_ranker
from personalize_local.filters.apply import Allowed, FilterData, ItemFilter, UserFilter
from personalize_local.filters.check import checked_filter
from personalize_local.filters.values import MissingParameter, read_filter_values
from personalize_local.jobs.line_input import Line

# Extra items of the first request: the maximum number of events of one type that a filter sees.
_EXTRA_ITEMS = 100
_GROWTH = 8  # factor of each further request, until lists are long enough or contain the whole catalog
_BLOCK_QUERIES = 200  # bounds memory when lists grow to the whole catalog


@dataclass(frozen=True)
class FilterRequest:
    """A filter expression and the datasets of its group."""

    expression: str
    datasets: dict[str, DatasetParts]


def filtered_answers(
    recommender: Recommender,
    request: FilterRequest,
    lines: Sequence[Line],
    num_results: int,
    options: Options,
) -> Iterator[Answer]:
    """Yield one answer per line without an error, in their order, and set the error of lines without filter values."""
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
    """Read the data that a filter needs, and return a function that makes the test of a line."""
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
    """Return the user of a line; empty without one.

    In a request, a filter of related items that uses interactions takes the `userId` beside the `itemId`; for batch
    lines this is not documented.
    """
    given = line.query.user_id or line.entry.get("userId")
    return given if isinstance(given, str) else ""


def recommend_filtered(
    recommender: Recommender, asked: Sequence[tuple[Query, Allowed]], num_results: int, options: Options
) -> Iterator[Answer]:
    """Yield one list per query and test, in their order, at most `num_results` ids each.

    Rankings contain all ids that pass.
    """
    ranker = filtered_ranker(recommender, options)
    for start in range(0, len(asked), _BLOCK_QUERIES):
        block = asked[start : start + _BLOCK_QUERIES]
        if recommender.wants == "ranking":
            full = recommender.answer([query for query, _ in block], num_results, options)
            yield from (_kept(one, test, len(one.ids)) for one, (_, test) in zip(full, block, strict=True))
        else:
            done = _rank_few(ranker, block, num_results) if ranker else {}
            yield from _block(recommender, block, num_results, options, done)


def _rank_few(
    ranker: FilteredRanker, asked: Sequence[tuple[Query, Allowed]], num_results: int
) -> dict[int, Answer]:
    """Answer the queries with at most `num_results` allowed items; return the answers by query position."""
    few = {}
    for index, (_, test) in enumerate(asked):
        allowed = test.ids()
        if allowed is not None and len(allowed) <= num_results:
            few[index] = allowed
    if not few:
        return {}
    return dict(zip(few, ranker([asked[index][0] for index in few], list(few.values())), strict=True))


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
