"""Campaigns: their life cycle, updates, $LATEST, and what is checked for each recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

UP = "aws-user-personalization"


def test_a_campaign_describes_itself(live: Any) -> None:
    config = {"itemExplorationConfig": {"explorationWeight": "0.5", "explorationItemAgeCutOff": "10"}}
    arn = live.campaign(UP, campaignConfig={**config, "enableMetadataWithRecommendations": True})
    campaign = live.world.describe("Campaign", arn)
    assert arn.endswith(f":campaign/{campaign['name']}")
    assert campaign["solutionVersionArn"] == live.versions[UP]
    assert campaign["minProvisionedTPS"] == 1
    assert campaign["campaignConfig"]["itemExplorationConfig"] == config["itemExplorationConfig"]
    assert "latestCampaignUpdate" not in campaign
    listed = live.personalize.list_campaigns(solutionArn=live.versions[UP].rpartition("/")[0])["campaigns"]
    assert arn in [entry["campaignArn"] for entry in listed]
    live.personalize.delete_campaign(campaignArn=arn)
    live.world.wait_gone(
        lambda: [c for c in live.personalize.list_campaigns()["campaigns"] if c["campaignArn"] == arn]
    )
    live.campaign(UP, campaignConfig={"enableMetadataWithRecommendations": True})


@pytest.mark.parametrize(
    ("recipe", "config", "part"),
    [
        (UP, {"itemExplorationConfig": {"explorationWeight": "2"}}, "explorationWeight must be a number"),
        (UP, {"itemExplorationConfig": {"explorationWeight": "much"}}, "explorationWeight must be a number"),
        (UP, {"itemExplorationConfig": {"nope": "1"}}, "Unknown itemExplorationConfig parameter nope"),
        (UP, {"itemExplorationConfig": {"explorationItemAgeCutOff": "0"}}, "explorationItemAgeCutOff"),
        (UP, {"rankingInfluence": {"POPULARITY": 0.5}}, "rankingInfluence is not supported"),
        (UP, {"rankingInfluence": {"NOPE": 0.5}}, "enum value set"),
        (UP, {"syncWithLatestSolutionVersion": True}, "$LATEST"),
        ("aws-sims", {"itemExplorationConfig": {"explorationWeight": "0.5"}}, "is not supported"),
    ],
)
def test_a_config_is_checked_for_the_recipe(
    live: Any, refused: Callable[..., Any], recipe: str, config: dict[str, Any], part: str
) -> None:
    version = live.versions[recipe]
    create = live.personalize.create_campaign
    error = refused(create, name=live.world.name("bad"), solutionVersionArn=version, campaignConfig=config)
    assert error.code == "InvalidInputException"
    assert part in error.message


def test_what_cannot_become_a_campaign(live: Any, refused: Callable[..., Any]) -> None:
    create = live.personalize.create_campaign
    version = live.versions[UP]
    name = live.campaigns["aws-sims"].rpartition("/")[2]
    assert refused(create, name=name, solutionVersionArn=version).code == "ResourceAlreadyExistsException"
    error = refused(create, name="c", solutionVersionArn=version.rpartition("/")[0] + "/00000000")
    assert error.code == "ResourceNotFoundException"
    error = refused(create, name="c", solutionVersionArn=version.rpartition("/")[0] + "/$LATEST")
    assert "syncWithLatestSolutionVersion" in error.message
    update = live.personalize.update_campaign
    error = refused(update, campaignArn=live.campaigns[UP] + "-not", minProvisionedTPS=2)
    assert error.code == "ResourceNotFoundException"


def test_updates_quota_and_deletion_order(
    start_server: Callable[..., Any], make_live: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    server = start_server()
    live = make_live(server.url).fill()
    first = live.train("aws-popularity-count")
    arn = live.campaign("aws-popularity-count")
    solution = first.rpartition("/")[0]
    second = live.world.train(solution)["solutionVersionArn"]
    synced = live.personalize.create_campaign(
        name="latest",
        solutionVersionArn=f"{solution}/$LATEST",
        campaignConfig={"syncWithLatestSolutionVersion": True},
    )["campaignArn"]
    assert live.world.wait("Campaign", synced)["solutionVersionArn"] == second
    third = live.world.train(solution)["solutionVersionArn"]
    assert live.world.describe("Campaign", synced)["solutionVersionArn"] == third
    for number in range(3):
        live.personalize.create_campaign(name=f"c{number}", solutionVersionArn=first)
    error = refused(live.personalize.create_campaign, name="sixth", solutionVersionArn=first)
    assert error.code == "LimitExceededException"
    server.close()

    live.connect(start_server(time_scale=0.4).url)
    live.personalize.update_campaign(campaignArn=arn, solutionVersionArn=second, minProvisionedTPS=3)
    assert refused(live.personalize.update_campaign, campaignArn=arn).code == "ResourceInUseException"
    assert refused(live.personalize.delete_campaign, campaignArn=arn).code == "ResourceInUseException"
    states = []
    while not states or states[-1] != "ACTIVE":
        campaign = live.world.describe("Campaign", arn)
        update = campaign["latestCampaignUpdate"]
        assert campaign["status"] == "ACTIVE"
        if update["status"] != "ACTIVE":
            assert campaign["solutionVersionArn"] == first
            assert live.ids("aws-popularity-count", userId="u1")
        if not states or states[-1] != update["status"]:
            states.append(update["status"])
    assert states == ["CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE"]
    campaign = live.world.describe("Campaign", arn)
    assert (campaign["solutionVersionArn"], campaign["minProvisionedTPS"]) == (second, 3)
    assert campaign["latestCampaignUpdate"]["solutionVersionArn"] == second
    error = refused(live.personalize.delete_solution, solutionArn=solution)
    assert error.code == "ResourceInUseException"
    assert "Campaign" in error.message
    live.personalize.delete_campaign(campaignArn=arn)
    error = refused(live.runtime.get_recommendations, campaignArn=arn, userId="u1")
    assert "must be ACTIVE" in error.message
