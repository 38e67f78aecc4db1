"""Test GetRecommendations, GetPersonalizedRanking and GetActionRecommendations against trained campaigns."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

UP = "aws-user-personalization"


def is_even(item_id: str) -> bool:
    return int(item_id[1:]) % 2 == 0


def test_a_user_gets_items_of_his_taste_with_scores(live: Any) -> None:
    reply = live.runtime.get_recommendations(campaignArn=live.campaigns[UP], userId="u2")
    entries = reply["itemList"]
    assert len(entries) == 25
    # Nobody takes an item twice: the five that are left of his taste come first.
    assert all(is_even(entry["itemId"]) for entry in entries[:5])
    scores = [entry["score"] for entry in entries]
    assert scores == sorted(scores, reverse=True)
    assert 0 < sum(scores) <= 1
    assert len(reply["recommendationId"]) == 40


def test_an_unknown_user_gets_what_everybody_else_without_history_gets(live: Any) -> None:
    assert live.ids(UP, userId="nobody") == live.ids(UP, userId="nobody-else")
    assert len(live.ids(UP, userId="nobody", numResults=500)) == 50


def test_related_items_are_of_the_same_kind(live: Any) -> None:
    found = live.ids("aws-sims", itemId="i4", numResults=5)
    assert len(found) == 5
    assert all(map(is_even, found))
    reply = live.runtime.get_recommendations(campaignArn=live.campaigns["aws-sims"], itemId="i4")
    assert all("score" not in entry for entry in reply["itemList"])


def test_a_ranking_holds_the_items_that_were_given(live: Any) -> None:
    # Of the even items, u2 has taken all but five, and nobody takes an item twice.
    new_even = sorted({f"i{n}" for n in range(0, 50, 2)} - {f"i{2 * ((2 + s * 3) % 25)}" for s in range(20)})
    given = ["i1", new_even[0], "i3", new_even[1], "never-seen"]
    reply = live.runtime.get_personalized_ranking(
        campaignArn=live.campaigns["aws-personalized-ranking"], userId="u2", inputList=given
    )
    entries = reply["personalizedRanking"]
    found = [entry["itemId"] for entry in entries]
    assert sorted(found) == sorted(given)
    assert set(found[:2]) == set(new_even[:2])
    assert found[-1] == "never-seen"
    assert "score" not in entries[-1]
    assert reply["recommendationId"].startswith("RID-")


def test_a_filter_with_values_leaves_what_it_says(live: Any) -> None:
    cheap = live.filter("INCLUDE ItemID WHERE Items.PRICE < $MOST")
    found = live.ids(UP, userId="u3", filterArn=cheap, filterValues={"MOST": "10"})
    assert sorted(found) == sorted(f"i{n}" for n in range(10))
    ranked = live.runtime.get_personalized_ranking(
        campaignArn=live.campaigns["aws-personalized-ranking"],
        userId="u3",
        inputList=["i40", "i2"],
        filterArn=cheap,
        filterValues={"MOST": '"10"'},
    )["personalizedRanking"]
    assert [entry["itemId"] for entry in ranked] == ["i2"]


def test_bought_items_are_left_out_by_the_users_own_history(live: Any) -> None:
    bought = live.filter('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("buy")')
    everything = set(live.ids(UP, userId="u5", numResults=50))
    left = set(live.ids(UP, userId="u5", numResults=50, filterArn=bought))
    # Each user's steps but every fourth are purchases, see the rows of `live`.
    gone = {f"i{1 + 2 * ((5 + step * 3) % 25)}" for step in range(20) if step % 4}
    assert gone
    assert left == everything - gone


def test_a_filter_of_the_current_item_compares_with_it(live: Any) -> None:
    cheaper = live.filter("INCLUDE ItemID WHERE Items.PRICE < CurrentItem.PRICE")
    found = live.ids("aws-sims", itemId="i6", filterArn=cheaper)
    assert found
    assert all(int(item[1:]) < 6 for item in found)


def test_metadata_comes_as_strings_when_the_campaign_has_it(live: Any, refused: Callable[..., Any]) -> None:
    reply = live.runtime.get_recommendations(
        campaignArn=live.campaigns[UP],
        userId="u2",
        numResults=3,
        metadataColumns={"ITEMS": ["CATEGORY_L1", "PRICE"]},
    )
    for entry in reply["itemList"]:
        number = int(entry["itemId"][1:])
        assert entry["metadata"] == {"CATEGORY_L1": "even|all", "PRICE": f"{number}.5"}
    get = live.runtime.get_recommendations
    asked = {"campaignArn": live.campaigns[UP], "userId": "u2"}
    too_many = refused(get, **asked, numResults=51, metadataColumns={"ITEMS": ["PRICE"]})
    assert "at most 50" in too_many.message
    assert "NOPE" in refused(get, **asked, metadataColumns={"ITEMS": ["NOPE"]}).message
    without = {"campaignArn": live.campaigns["aws-sims"], "itemId": "i1"}
    assert (
        "enableMetadata"
        in refused(get, **without, numResults=5, metadataColumns={"ITEMS": ["PRICE"]}).message
    )


def test_promotions_take_their_share_of_the_list(live: Any) -> None:
    odd = live.filter('INCLUDE ItemID WHERE Items.CATEGORY_L1 IN ("odd")')
    even = live.filter("INCLUDE ItemID WHERE Items.CATEGORY_L1 IN ($KIND)")
    promotion = {"name": "odd-ones", "percentPromotedItems": 40, "filterArn": odd}
    reply = live.runtime.get_recommendations(
        campaignArn=live.campaigns[UP],
        userId="u2",
        numResults=10,
        filterArn=even,
        filterValues={"KIND": '"even"'},
        promotions=[promotion],
    )
    promoted = [e["itemId"] for e in reply["itemList"] if e.get("promotionName") == "odd-ones"]
    regular = [e["itemId"] for e in reply["itemList"] if "promotionName" not in e]
    assert (len(promoted), len(regular)) == (4, 6)
    assert not any(map(is_even, promoted))
    assert all(map(is_even, regular))


@pytest.mark.parametrize(
    ("params", "part"),
    [
        ({}, "userId is required"),
        ({"itemId": "i1"}, "userId is required"),
        ({"userId": "u1", "numResults": 501}, "at most 500"),
        ({"userId": "u1", "filterValues": {"A": "1"}}, "requires a filterArn"),
        ({"userId": "u1", "promotions": [{"name": "p", "percentPromotedItems": 50}]}, "filterArn"),
        ({"userId": "u1", "promotions": [{"name": "p", "percentPromotedItems": 101}]}, "less than or equal"),
        ({"userId": "u" * 257}, "less than or equal to 256"),
        ({"userId": "u1", "context": {"a-b": "x"}}, "regular expression"),
    ],
)
def test_what_cannot_be_answered_is_invalid(
    live: Any, refused: Callable[..., Any], params: dict[str, Any], part: str
) -> None:
    error = refused(live.runtime.get_recommendations, campaignArn=live.campaigns[UP], **params)
    assert (error.code, error.http_status) == ("InvalidInputException", 400)
    assert part in error.message


def test_a_missing_value_of_an_include_is_invalid(live: Any, refused: Callable[..., Any]) -> None:
    cheap = live.filter("INCLUDE ItemID WHERE Items.PRICE < $MOST")
    get = live.runtime.get_recommendations
    error = refused(get, campaignArn=live.campaigns[UP], userId="u1", filterArn=cheap)
    assert error.code == "InvalidInputException"
    assert "MOST" in error.message


def test_an_unknown_campaign_is_not_found(live: Any, refused: Callable[..., Any]) -> None:
    unknown = live.campaigns[UP] + "-not"
    for call, params in (
        (live.runtime.get_recommendations, {"userId": "u1"}),
        (live.runtime.get_personalized_ranking, {"userId": "u1", "inputList": ["i1"]}),
        (live.runtime.get_action_recommendations, {"userId": "u1"}),
    ):
        error = refused(call, campaignArn=unknown, **params)
        assert (error.code, error.http_status) == ("ResourceNotFoundException", 404)
    recommender = live.campaigns[UP].replace("campaign/", "recommender/")
    error = refused(live.runtime.get_recommendations, recommenderArn=recommender, userId="u1")
    assert error.http_status == 404


def test_each_operation_refuses_campaigns_of_another(live: Any, refused: Callable[..., Any]) -> None:
    ranking = live.campaigns["aws-personalized-ranking"]
    error = refused(live.runtime.get_recommendations, campaignArn=ranking, userId="u1")
    assert "GetPersonalizedRanking" in error.message
    error = refused(
        live.runtime.get_personalized_ranking, campaignArn=live.campaigns[UP], userId="u1", inputList=["i1"]
    )
    assert "GetRecommendations" in error.message
    error = refused(live.runtime.get_action_recommendations, campaignArn=live.campaigns[UP], userId="u1")
    assert "GetRecommendations" in error.message


def test_requests_of_many_threads_get_the_answers_of_one(live: Any) -> None:
    users = [f"u{n % 20}" for n in range(60)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda user: live.ids(UP, userId=user), users))
    assert together == [live.ids(UP, userId=user) for user in users]


NOW = 1_700_100_000  # after every interaction of the sample rows
NEXT = "aws-next-best-action"
TRENDING = "aws-trending-now"
USERS = 60


@pytest.fixture(scope="module")
def acted(live: Any) -> Any:
    """Return a group whose even users join the club and whose odd users rate, all of it streamed."""
    found = type(live)(live.world).fill()
    make_action_datasets(found)
    actions = [
        {"actionId": name, "properties": json.dumps({"value": 5})} for name in ("join", "rate", "call")
    ]
    found.events.put_actions(datasetArn=found.datasets["Actions"], actions=actions)
    tracking_id = found.world.describe("Dataset", found.datasets["ActionInteractions"])["trackingId"]
    events = (
        {
            "actionId": action,
            "userId": f"u{user}",
            "sessionId": "s",
            "timestamp": 1_700_000_000 + user,
            "eventType": "Taken" if (user % 2 == 0) == (action == "join") else "Viewed",
        }
        for user, action in itertools.product(range(USERS), ("join", "rate"))
    )
    for batch in iter(lambda: list(itertools.islice(events, 10)), []):
        found.events.put_action_interactions(trackingId=tracking_id, actionInteractions=batch)
    found.campaign(NEXT)
    return found


def make_action_datasets(live: Any) -> None:
    common = {
        "type": "record",
        "namespace": "com.amazonaws.personalize.schema",
        "version": "1.0",
    }
    texts = [{"name": name, "type": "string"} for name in ("USER_ID", "ACTION_ID", "EVENT_TYPE")]
    records = {
        "Actions": [{"name": "ACTION_ID", "type": "string"}, {"name": "VALUE", "type": ["null", "long"]}],
        "ActionInteractions": [*texts, {"name": "TIMESTAMP", "type": "long"}],
    }
    for name, fields in records.items():
        arn = live.personalize.create_dataset(
            name=live.world.name("dataset"),
            schemaArn=live.world.schema({**common, "name": name, "fields": fields}),
            datasetGroupArn=live.group,
            datasetType={"ActionInteractions": "Action_Interactions"}.get(name, name),
        )["datasetArn"]
        live.world.wait("Dataset", arn)
        live.datasets[name] = arn


def test_actions_come_best_first_with_scores(acted: Any, refused: Callable[..., Any]) -> None:
    get = acted.runtime.get_action_recommendations
    reply = get(campaignArn=acted.campaigns[NEXT], userId="nobody")
    scores = [entry["score"] for entry in reply["actionList"]]
    assert {entry["actionId"] for entry in reply["actionList"]} == {"join", "rate", "call"}
    assert scores == sorted(scores, reverse=True)
    assert reply["recommendationId"].startswith("RID-")
    assert len(get(campaignArn=acted.campaigns[NEXT], userId="u1", numResults=1)["actionList"]) == 1
    error = refused(get, campaignArn=acted.campaigns[NEXT], userId="u1", numResults=101)
    assert "at most 100" in error.message
    assert "userId is required" in refused(get, campaignArn=acted.campaigns[NEXT]).message
    error = refused(acted.runtime.get_recommendations, campaignArn=acted.campaigns[NEXT], userId="u1")
    assert "GetActionRecommendations" in error.message


def test_a_filter_of_actions_sees_what_the_user_took(acted: Any, refused: Callable[..., Any]) -> None:
    taken = acted.filter('EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("Taken")')
    reply = acted.runtime.get_action_recommendations(
        campaignArn=acted.campaigns[NEXT], userId="u2", filterArn=taken
    )
    assert "join" not in {entry["actionId"] for entry in reply["actionList"]}
    items = acted.filter("EXCLUDE ItemID WHERE Items.PRICE > 1")
    error = refused(
        acted.runtime.get_action_recommendations,
        campaignArn=acted.campaigns[NEXT],
        userId="u2",
        filterArn=items,
    )
    assert "is not a filter of" in error.message


def test_a_trending_item_needs_no_user(acted: Any) -> None:
    for user in range(100):
        acted.put_event(f"crowd{user}", "i33", sentAt=NOW - user)
    acted.campaign(TRENDING)
    assert acted.ids(TRENDING, numResults=3)[0] == "i33"
    assert acted.ids(TRENDING, userId="u1", numResults=3)[0] == "i33"


def test_the_second_version_gives_reasons_and_metadata(acted: Any) -> None:
    recipe = "aws-user-personalization-v2"
    acted.campaign(recipe)
    cheap = acted.filter("INCLUDE ItemID WHERE Items.PRICE < 10")
    reply = acted.runtime.get_recommendations(
        campaignArn=acted.campaigns[recipe],
        userId="nobody",
        numResults=10,
        metadataColumns={"ITEMS": ["PRICE"]},
        promotions=[{"name": "cheap", "percentPromotedItems": 20, "filterArn": cheap}],
    )
    reasons = [(entry.get("promotionName"), entry["reason"]) for entry in reply["itemList"]]
    assert sorted(reasons, key=str) == [("cheap", ["Promoted item"])] * 2 + [(None, ["Popular item"])] * 8
    assert all(set(entry["metadata"]) == {"PRICE"} for entry in reply["itemList"])
