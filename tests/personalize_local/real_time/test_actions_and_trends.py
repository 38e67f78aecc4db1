"""The two recipes that have campaigns and no batch jobs: next-best-action and trending-now."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

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
