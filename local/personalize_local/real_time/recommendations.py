"""Answer the operations of personalize-runtime.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_Operations_Amazon_Personalize_Runtime.html
`context` is taken and checked by its shape; no model here is trained on the metadata of interactions.
"""

from __future__ import annotations

from typing import Any

from personalize_local.engine import Query
from personalize_local.errors import ApiError, invalid_input, not_found
from personalize_local.real_time.context import Operation, Params, RealTime
from personalize_local.real_time.filtering import Asked, answer, make_test
from personalize_local.real_time.item_list import (
    add_metadata,
    checked_columns,
    entries_of,
    recommendation_id,
)
from personalize_local.real_time.promotions import mix, promoted_count
from personalize_local.real_time.serving import Served, find_served

# Defaults and limits, by the API pages.
_DEFAULT_ITEMS = 25
_MOST_ITEMS = 500
_MOST_ITEMS_WITH_METADATA = 50
_DEFAULT_ACTIONS = 5
_MOST_ACTIONS = 100


def get_recommendations(around: RealTime, params: Params) -> dict[str, Any]:
    """Recommend items to a user, or items related to an item."""
    if "recommenderArn" in params:
        if "campaignArn" in params:
            raise invalid_input("Give either campaignArn or recommenderArn, not both.")
        raise not_found(params["recommenderArn"])
    served = find_served(around, params.get("campaignArn"))
    query = _query(served, params)
    columns = checked_columns(around, served, params)
    num_results = _checked_count(
        params, _DEFAULT_ITEMS, _MOST_ITEMS_WITH_METADATA if columns else _MOST_ITEMS
    )
    asked = Asked(served.group_arn, query.user_id or "", query.item_id)
    test = make_test(around, asked, params)
    promotion = _promotion(params)
    promoted_test = make_test(around, asked, promotion) if promotion else None
    with served.asked_for(around, query.user_id) as recommender:
        found = answer(recommender, query, num_results, served.options, test)
        if promotion:
            count = promoted_count(num_results, promotion["percentPromotedItems"])
            promoted = answer(recommender, query, count, served.options, promoted_test)
    entries = (
        mix(found, promoted, promotion.get("name"), num_results, count) if promotion else entries_of(found)
    )
    add_metadata(around, served, entries, columns)
    return {"itemList": entries, "recommendationId": recommendation_id()}


def get_personalized_ranking(around: RealTime, params: Params) -> dict[str, Any]:
    """Put a list of items into a user's order; a filter removes items from it."""
    served = find_served(around, params["campaignArn"])
    if served.wants != "ranking":
        raise _wrong_operation(served)
    columns = checked_columns(around, served, params)
    item_ids = tuple(dict.fromkeys(params["inputList"]))
    most = _MOST_ITEMS_WITH_METADATA if columns else _MOST_ITEMS
    if not 1 <= len(params["inputList"]) <= most:
        raise invalid_input(f"inputList must have between 1 and {most} items.")
    user_id = _required(params, "userId", served)
    test = make_test(around, Asked(served.group_arn, user_id), params)
    query = Query(user_id=user_id, item_ids=item_ids)
    with served.asked_for(around, user_id) as recommender:
        found = answer(recommender, query, len(item_ids), served.options, test)
    entries = entries_of(found)
    add_metadata(around, served, entries, columns)
    return {"personalizedRanking": entries, "recommendationId": recommendation_id()}


def get_action_recommendations(around: RealTime, params: Params) -> dict[str, Any]:
    """Recommend actions to a user."""
    served = find_served(around, params.get("campaignArn"))
    if served.wants != "action":
        raise _wrong_operation(served)
    user_id = _required(params, "userId", served)
    num_results = _checked_count(params, _DEFAULT_ACTIONS, _MOST_ACTIONS)
    test = make_test(around, Asked(served.group_arn, user_id, subject="ACTION_ID"), params)
    with served.asked_for(around, user_id) as recommender:
        found = answer(recommender, Query(user_id=user_id), num_results, served.options, test)
    return {"actionList": entries_of(found, "actionId"), "recommendationId": recommendation_id()}


def _query(served: Served, params: Params) -> Query:
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


OPERATIONS: dict[str, Operation] = {
    "GetRecommendations": get_recommendations,
    "GetPersonalizedRanking": get_personalized_ranking,
    "GetActionRecommendations": get_action_recommendations,
}
