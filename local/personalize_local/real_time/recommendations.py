"""Implement the operations of personalize-runtime.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_Operations_Amazon_Personalize_Runtime.html
`context` is validated but ignored, because no model here uses the metadata of interactions.
"""

from __future__ import annotations

import random
import uuid
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.engine import Answer, Query
from personalize_local.errors import ApiError, invalid_input
from personalize_local.real_time.context import Operation, Params, RealTimeContext
from personalize_local.real_time.filtering import FilterContext, answer, make_test, without_items
from personalize_local.real_time.serving import Served, find_served

# Defaults and limits, by the API pages.
_DEFAULT_ITEMS = 25
_MOST_ITEMS = 500
_MOST_ITEMS_WITH_METADATA = 50
_DEFAULT_ACTIONS = 5
_MOST_ACTIONS = 100
# https://docs.aws.amazon.com/personalize/latest/dg/getting-recommendations-with-metadata.html
_MOST_COLUMNS = 10
_SCORE_DECIMALS = 7
_MOST_FILTERED_EVENTS = 100
Entry = dict[str, Any]
_REASON = "Promoted item"


def get_recommendations(context: RealTimeContext, params: Params) -> dict[str, Any]:
    """Recommend items to a user, or items related to an item."""
    served = find_served(context, params)
    query = _query(served, params)
    columns = checked_columns(context, served, params)
    num_results = _checked_count(
        params, _DEFAULT_ITEMS, _MOST_ITEMS_WITH_METADATA if columns else _MOST_ITEMS
    )
    filter_context = FilterContext(served.group_arn, query.user_id or "", query.item_id)
    test = make_test(context, filter_context, params)
    promotion = _promotion(params)
    promoted_test = make_test(context, filter_context, promotion) if promotion else None
    use_case = served.recipe.use_case
    if use_case and use_case.left_out:
        done = items_of_events(context, served, query.user_id or "", use_case.left_out)
        test, promoted_test = without_items(test, done), without_items(promoted_test, done)
    with served.recommender_for(context, query.user_id) as recommender:
        found = answer(recommender, query, num_results, served.options, test)
        if promotion:
            count = promoted_count(num_results, promotion["percentPromotedItems"])
            promoted = answer(recommender, query, count, served.options, promoted_test)
    entries = (
        mix(found, promoted, promotion.get("name"), num_results, count) if promotion else entries_of(found)
    )
    if use_case:
        # Recommenders return no scores.
        entries = [{key: value for key, value in entry.items() if key != "score"} for entry in entries]
    add_metadata(context, served, entries, columns)
    return {"itemList": entries, "recommendationId": recommendation_id()}


def get_personalized_ranking(context: RealTimeContext, params: Params) -> dict[str, Any]:
    """Rank a list of items for a user; a filter removes items from it."""
    served = find_served(context, params)
    if served.wants != "ranking":
        raise _wrong_operation(served)
    columns = checked_columns(context, served, params)
    item_ids = tuple(dict.fromkeys(params["inputList"]))
    most = _MOST_ITEMS_WITH_METADATA if columns else _MOST_ITEMS
    if not 1 <= len(params["inputList"]) <= most:
        raise invalid_input(f"inputList must have between 1 and {most} items.")
    user_id = _required(params, "userId", served)
    test = make_test(context, FilterContext(served.group_arn, user_id), params)
    query = Query(user_id=user_id, item_ids=item_ids)
    with served.recommender_for(context, user_id) as recommender:
        found = answer(recommender, query, len(item_ids), served.options, test)
    entries = entries_of(found)
    add_metadata(context, served, entries, columns)
    return {"personalizedRanking": entries, "recommendationId": recommendation_id()}


def get_action_recommendations(context: RealTimeContext, params: Params) -> dict[str, Any]:
    """Recommend actions to a user."""
    served = find_served(context, params)
    if served.wants != "action":
        raise _wrong_operation(served)
    user_id = _required(params, "userId", served)
    num_results = _checked_count(params, _DEFAULT_ACTIONS, _MOST_ACTIONS)
    test = make_test(context, FilterContext(served.group_arn, user_id, subject="ACTION_ID"), params)
    with served.recommender_for(context, user_id) as recommender:
        found = answer(recommender, Query(user_id=user_id), num_results, served.options, test)
    return {"actionList": entries_of(found, "actionId"), "recommendationId": recommendation_id()}


def items_of_events(
    context: RealTimeContext, served: Served, user_id: str, event_type: str
) -> frozenset[str]:
    """Return the items of a user's newest 100 events of one type, which is what a filter of the service sees."""
    dataset = context.rows.datasets(served.group_arn).get("INTERACTIONS")
    if dataset is None:
        return frozenset()
    rows = context.rows.of_user(dataset, user_id)
    rows = rows.filter(pc.equal(rows["EVENT_TYPE"], event_type)).sort_by([("TIMESTAMP", "descending")])
    return frozenset(rows["ITEM_ID"].slice(0, _MOST_FILTERED_EVENTS).to_pylist())


def _query(served: Served, params: Params) -> Query:
    use_case = served.recipe.use_case
    if use_case and use_case.needs_user:
        _required(params, "userId", served)
    if served.wants == "item":
        return Query(item_id=_required(params, "itemId", served), user_id=params.get("userId"))
    if served.wants != "user":
        raise _wrong_operation(served)
    if served.recipe.recipe_type == "POPULAR_ITEMS":
        return Query(user_id=params.get("userId"))
    return Query(user_id=_required(params, "userId", served))


def _required(params: Params, member: str, served: Served) -> str:
    if not params.get(member):
        raise invalid_input(f"{member} is required for the recipe {served.recipe.name}.")
    return str(params[member])


def _checked_count(params: Params, default: int, most: int) -> int:
    count: int = params.get("numResults", default)
    if count > most:
        raise invalid_input(f"numResults must be at most {most}, not {count}.")
    return count


def _promotion(params: Params) -> Params | None:
    promotions: list[Params] = params.get("promotions", [])
    if not promotions:
        return None
    promotion = promotions[0]
    for member in ("filterArn", "percentPromotedItems"):
        if member not in promotion:
            raise invalid_input(f"A promotion requires {member}.")
    return promotion


def _wrong_operation(served: Served) -> ApiError:
    operations = {"user": "GetRecommendations", "item": "GetRecommendations"}
    operations |= {"ranking": "GetPersonalizedRanking", "action": "GetActionRecommendations"}
    name = operations.get(served.wants, "CreateBatchSegmentJob")
    return invalid_input(f"Campaigns of the recipe {served.recipe.name} answer {name} only.")


def recommendation_id() -> str:
    """Return a new id of 40 characters, the maximum that PutEvents accepts."""
    return f"RID-{uuid.uuid4()}"


def entries_of(found: Answer, id_member: str = "itemId") -> list[Entry]:
    """Return one entry per id, with score and reasons if the recipe has them."""
    entries: list[Entry] = []
    for place, each in enumerate(found.ids):
        entry: Entry = {id_member: each}
        if found.scores is not None and place < len(found.scores):
            entry["score"] = round(float(found.scores[place]), _SCORE_DECIMALS)
        if found.reasons is not None and found.reasons[place]:
            entry["reason"] = list(found.reasons[place])
        entries.append(entry)
    return entries


def checked_columns(context: RealTimeContext, served: Served, params: dict[str, Any]) -> list[str]:
    """Return the columns of Items in `metadataColumns`; raise `ApiError`."""
    requested: dict[str, list[str]] = params.get("metadataColumns", {})
    columns = [column for names in requested.values() for column in names]
    if not columns:
        return []
    if not served.has_metadata:
        raise invalid_input("metadataColumns requires a campaign with enableMetadataWithRecommendations.")
    if [kind.upper() for kind in requested] != ["ITEMS"]:
        raise invalid_input("metadataColumns can name columns of ITEMS only.")
    if len(columns) > _MOST_COLUMNS:
        raise invalid_input(f"metadataColumns can name at most {_MOST_COLUMNS} columns.")
    dataset = context.rows.datasets(served.group_arn).get("ITEMS")
    known = context.rows.schema(dataset).names if dataset else []
    unknown = [column for column in columns if column not in known]
    if unknown:
        raise invalid_input(f"The schema of ITEMS has no column {', '.join(unknown)}.")
    return columns


def add_metadata(context: RealTimeContext, served: Served, entries: list[Entry], columns: list[str]) -> None:
    """Add the values of the columns to each entry as strings, without nulls."""
    dataset = context.rows.datasets(served.group_arn).get("ITEMS")
    if not columns or dataset is None:
        return
    table = context.rows.all(dataset)
    ids = pa.array([entry["itemId"] for entry in entries], pa.string())
    rows = table.filter(pc.is_in(table["ITEM_ID"], ids)).select(["ITEM_ID", *columns]).to_pylist()
    by_id = {row["ITEM_ID"]: row for row in rows}
    for entry in entries:
        row = by_id.get(entry["itemId"], {})
        entry["metadata"] = {name: str(row[name]) for name in columns if row.get(name) is not None}


def promoted_count(num_results: int, percent: int) -> int:
    """Return the number of promoted items: the share, rounded down, but at least 1."""
    return min(num_results, max(1, num_results * percent // 100))


def mix(regular: Answer, promoted: Answer, name: str | None, num_results: int, count: int) -> list[Entry]:
    """Return the regular list with up to `count` promoted items at random positions.

    https://docs.aws.amazon.com/personalize/latest/dg/promoting-items.html

    :param regular: the list with the request's filter.
    :param promoted: the list with the promotion's filter.
    """
    extra = entries_of(replace(promoted, reasons=None))[:count]
    for entry in extra:
        entry["promotionName"] = name
        if promoted.reasons is not None:
            entry["reason"] = [_REASON]
    taken = {entry["itemId"] for entry in extra}
    kept = [entry for entry in entries_of(regular) if entry["itemId"] not in taken]
    length = min(num_results, len(kept) + len(extra))
    places = set(random.sample(range(length), len(extra)))
    rest, added = iter(kept), iter(extra)
    return [next(added if place in places else rest) for place in range(length)]


OPERATIONS: dict[str, Operation] = {
    "GetRecommendations": get_recommendations,
    "GetPersonalizedRanking": get_personalized_ranking,
    "GetActionRecommendations": get_action_recommendations,
}
