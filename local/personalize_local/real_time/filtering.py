"""Apply filters to one request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from personalize_local.engine import Answer, Options, Query, Recommender
from personalize_local.errors import invalid_input
from personalize_local.filters.apply import FilterData, ItemFilter
from personalize_local.filters.check import checked_filter
from personalize_local.filters.values import MissingParameter, read_filter_values
from personalize_local.real_time.context import RealTimeContext
from personalize_local.resources import FILTER

# Extra results of the first request: the maximum number of events of one type that a filter sees.
_EXTRA_RESULTS = 100
_GROWTH = 8  # factor of each further request, until the list is long enough or contains the whole catalog
_OF_USERS = frozenset({"INTERACTIONS", "ACTION_INTERACTIONS", "USERS"})

Test = Callable[[str], bool]


@dataclass(frozen=True)
class FilterContext:
    """Dataset group, user, item and subject (`ITEM_ID` or `ACTION_ID`) of a request."""

    group_arn: str
    user_id: str
    item_id: str | None = None
    subject: str = "ITEM_ID"


def make_test(context: RealTimeContext, filter_context: FilterContext, params: dict[str, Any]) -> Test | None:
    """Return the test of the request's (or promotion's) `filterArn` and `filterValues`; None without a filter.

    :raises ApiError: for a filter of another group or subject, and for missing values.
    """
    arn = params.get("filterArn")
    if arn is None:
        if params.get("filterValues"):
            raise invalid_input("filterValues requires a filterArn.")
        return None
    found = context.find_active(FILTER, arn)
    if found.parent_arn != filter_context.group_arn:
        raise invalid_input(f"Filter {arn} does not belong to the dataset group {filter_context.group_arn}.")
    datasets = context.rows.datasets(filter_context.group_arn)
    schemas = {kind: context.rows.schema(dataset) for kind, dataset in datasets.items()}
    expressions = checked_filter(found.body["filterExpression"], schemas)
    if expressions[0].subject != filter_context.subject:
        raise invalid_input(f"Filter {arn} is not a filter of {filter_context.subject}.")
    used = {condition.dataset for expression in expressions for condition in expression.conditions()}
    tables: dict[str, pa.Table] = {}
    for kind, dataset in datasets.items():
        if kind in used:
            of_user = kind in _OF_USERS
            tables[kind] = (
                context.rows.of_user(dataset, filter_context.user_id)
                if of_user
                else context.rows.all(dataset)
            )
    item_filter = ItemFilter(expressions, FilterData(tables, schemas), {filter_context.user_id})
    try:
        return item_filter.for_user(
            filter_context.user_id, read_filter_values(params), filter_context.item_id
        )
    except MissingParameter as missing:
        raise invalid_input(f"{missing}.") from missing


def without_items(test: Test | None, items: frozenset[str]) -> Test:
    """Return a test that refuses some items beside those that another test refuses."""
    return lambda item_id: item_id not in items and (test is None or test(item_id))


def answer(
    recommender: Recommender, query: Query, num_results: int, options: Options, test: Test | None
) -> Answer:
    """Return at most `num_results` of the model's results that pass the test.

    :raises ApiError: InvalidInputException when the model cannot answer the query.
    """
    length = num_results + (_EXTRA_RESULTS if test else 0)
    while True:
        (full,) = recommender.answer([query], length, options)
        if full.error is not None:
            raise invalid_input(full.error)
        kept = [place for place, each in enumerate(full.ids) if test is None or test(each)]
        if len(kept) >= num_results or len(full.ids) < length or query.item_ids:
            return at_places(full, kept[:num_results])
        length *= _GROWTH


def at_places(full: Answer, places: list[int]) -> Answer:
    """Return some positions of a list; the last ones of a ranking may have no score."""
    scores = full.scores
    return Answer(
        [full.ids[place] for place in places],
        None if scores is None else [scores[place] for place in places if place < len(scores)],
        None if full.reasons is None else [full.reasons[place] for place in places],
    )
