"""Apply filters to one request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from personalize_local.engine import Answer, Options, Query, Recommender
from personalize_local.errors import invalid_input
from personalize_local.filters.apply import FilterData, ItemFilter, MissingParameter
from personalize_local.filters.check import checked_filter
from personalize_local.filters.values import read_filter_values
from personalize_local.real_time.context import RealTime
from personalize_local.resources import FILTER

# First ask for so many more than wanted: the events of one type that a filter sees, at most.
_EXTRA_RESULTS = 100
_GROWTH = 8  # then for so many times more, until the list is long enough or the catalogue is used up
_OF_USERS = frozenset({"INTERACTIONS", "ACTION_INTERACTIONS", "USERS"})

Test = Callable[[str], bool]


@dataclass(frozen=True)
class Asked:
    """Say who asks, for which dataset group, and about what: `ITEM_ID` or `ACTION_ID`."""

    group_arn: str
    user_id: str
    item_id: str | None = None
    subject: str = "ITEM_ID"


def make_test(around: RealTime, asked: Asked, params: dict[str, Any]) -> Test | None:
    """Return the test of the request's (or promotion's) `filterArn` and `filterValues`; None without a filter.

    :raises ApiError: for a filter of another group or kind, and for values that it lacks.
    """
    arn = params.get("filterArn")
    if arn is None:
        if params.get("filterValues"):
            raise invalid_input("filterValues requires a filterArn.")
        return None
    found = around.find_active(FILTER, arn)
    if found.parent_arn != asked.group_arn:
        raise invalid_input(f"Filter {arn} does not belong to the dataset group {asked.group_arn}.")
    datasets = around.rows.datasets(asked.group_arn)
    schemas = {kind: around.rows.schema(dataset) for kind, dataset in datasets.items()}
    expressions = checked_filter(found.body["filterExpression"], schemas)
    if expressions[0].subject != asked.subject:
        raise invalid_input(f"Filter {arn} is not a filter of {asked.subject}.")
    used = {condition.dataset for expression in expressions for condition in expression.conditions()}
    tables: dict[str, pa.Table] = {}
    for kind, dataset in datasets.items():
        if kind in used:
            of_user = kind in _OF_USERS
            tables[kind] = (
                around.rows.of_user(dataset, asked.user_id) if of_user else around.rows.all(dataset)
            )
    item_filter = ItemFilter(expressions, FilterData(tables, schemas), {asked.user_id})
    try:
        return item_filter.for_user(asked.user_id, read_filter_values(params), asked.item_id)
    except MissingParameter as missing:
        raise invalid_input(f"{missing}.") from missing


def answer(
    recommender: Recommender, query: Query, num_results: int, options: Options, test: Test | None
) -> Answer:
    """Return the model's list for one query, at most `num_results` long, of what passes the test.

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
    """Return some places of a list; the last ones of a ranking may have no score."""
    scores = full.scores
    return Answer(
        [full.ids[place] for place in places],
        None if scores is None else [scores[place] for place in places if place < len(scores)],
        None if full.reasons is None else [full.reasons[place] for place in places],
    )
