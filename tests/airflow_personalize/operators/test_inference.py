"""Batch inference, batch segments and real-time calls against the running local Personalize."""

from __future__ import annotations

import itertools
import json

import pytest
from local_shop import ROLE, USERS, describe, schema, tags_of, train
from operator_runs import call, run

from airflow_personalize.errors import PersonalizeFatalError
from airflow_personalize.operators import (
    PersonalizeCreateBatchInferenceJobOperator,
    PersonalizeCreateBatchSegmentJobOperator,
    PersonalizeCreateCampaignOperator,
    PersonalizeCreateDatasetOperator,
    PersonalizeCreateFilterOperator,
    PersonalizeCreateSchemaOperator,
    PersonalizeCreateSolutionVersionOperator,
    PersonalizeDeleteCampaignOperator,
    PersonalizeDeleteFilterOperator,
    PersonalizeGetActionRecommendationsOperator,
    PersonalizeGetPersonalizedRankingOperator,
    PersonalizeGetRecommendationsOperator,
    PersonalizePutActionInteractionsOperator,
    PersonalizePutActionsOperator,
    PersonalizeUpdateCampaignOperator,
)
from airflow_personalize.resources import (
    BATCH_INFERENCE_JOB,
    CAMPAIGN,
)


@pytest.fixture(scope="module")
def campaign(shop):
    return run(PersonalizeCreateCampaignOperator, campaign_name="popular", solution_version_arn=shop.version)


def test_a_batch_inference_job_with_filter_and_configuration(account, shop):
    filter_arn = run(
        PersonalizeCreateFilterOperator,
        filter_name="even-ones",
        dataset_group_arn=shop.group,
        filter_expression="INCLUDE ItemID WHERE Items.CATEGORY IN ($WANTED)",
    )
    lines = [
        {"userId": "u1", "filterValues": {"WANTED": '"c1"'}},
        {"userId": "u2", "filterValues": {"WANTED": '"c0"'}},
    ]
    parameters = {
        "job_name": "shop-recommend",
        "solution_version_arn": shop.version,
        "input_path": account.put("batch/in.json", "\n".join(map(json.dumps, lines))),
        "output_path": account.location("batch/out/"),
        "role_arn": ROLE,
        "num_results": "5",
        "filter_arn": filter_arn,
        "batch_inference_job_mode": "BATCH_INFERENCE",
        "tags": {"run": "1"},
    }
    arn = run(PersonalizeCreateBatchInferenceJobOperator, **parameters)
    (text,) = [text for key, text in account.read("batch/out/").items() if key.endswith(".out")]
    answers = [json.loads(line) for line in text.splitlines()]
    parities = {
        answer["input"]["userId"]: {int(item[1:]) % 2 for item in answer["output"]["recommendedItems"]}
        for answer in answers
    }
    assert parities == {"u1": {1}, "u2": {0}}
    assert run(PersonalizeCreateBatchInferenceJobOperator, **parameters) == arn
    assert tags_of(arn) == {"run": "1"}
    with pytest.raises(PersonalizeFatalError) as raised:
        run(
            PersonalizeCreateBatchInferenceJobOperator,
            **{**parameters, "output_path": account.location("batch/elsewhere/")},
        )
    assert "jobOutput.s3DataDestination.path: asked for" in str(raised.value)
    assert describe(BATCH_INFERENCE_JOB, arn)["numResults"] == 5
    run(PersonalizeDeleteFilterOperator, filter_arn=filter_arn)
    assert run(PersonalizeDeleteFilterOperator, filter_arn=filter_arn) == filter_arn


def test_a_batch_segment_job_finds_users(account, shop):
    _, version = train(shop.group, "affinity", recipe="item-affinity")
    arn = run(
        PersonalizeCreateBatchSegmentJobOperator,
        job_name="shop-segment",
        solution_version_arn=version,
        input_path=account.put("segment/in.json", json.dumps({"itemId": "i2"})),
        output_path=account.location("segment/out/"),
        role_arn=ROLE,
        num_results=10,
    )
    (text,) = [text for key, text in account.read("segment/out/").items() if key.endswith(".out")]
    users = json.loads(text)["output"]["recommendedUsers"]
    assert len(users) == 10
    assert {int(user[1:]) % 2 for user in users} == {0}
    assert arn.endswith("batch-segment-job/shop-segment")


def test_a_campaign_answers_and_is_moved_to_another_version(shop, campaign):
    (answer,) = call(
        PersonalizeGetRecommendationsOperator, campaign_arn=campaign, user_ids=["u1"], num_results="3"
    )
    assert answer["userId"] == "u1"
    assert call(PersonalizeGetRecommendationsOperator, campaign_arn=campaign, user_ids=[]) == []
    assert len({each["itemId"] for each in answer["itemList"]}) == 3
    newer = run(
        PersonalizeCreateSolutionVersionOperator, solution_version_name="second", solution_arn=shop.solution
    )
    moved = {"campaign_arn": campaign, "solution_version_arn": newer, "min_provisioned_tps": "2"}
    assert run(PersonalizeUpdateCampaignOperator, **moved) == campaign
    found = describe(CAMPAIGN, campaign)
    assert (found["solutionVersionArn"], found["minProvisionedTPS"]) == (newer, 2)
    first_update = found["latestCampaignUpdate"]["creationDateTime"]
    run(PersonalizeUpdateCampaignOperator, **moved)
    assert describe(CAMPAIGN, campaign)["latestCampaignUpdate"]["creationDateTime"] == first_update
    with pytest.raises(
        PersonalizeFatalError, match=r"(?s)solutionVersionArn: asked for .*UpdateCampaign moves it"
    ):
        run(PersonalizeCreateCampaignOperator, campaign_name="popular", solution_version_arn=shop.version)


def test_a_ranking_campaign_ranks(shop):
    _, version = train(shop.group, "ranking", recipe="personalized-ranking")
    arn = run(PersonalizeCreateCampaignOperator, campaign_name="ranking", solution_version_arn=version)
    answers = call(
        PersonalizeGetPersonalizedRankingOperator,
        campaign_arn=arn,
        user_ids=["u0", "u1"],
        input_list=["i0", "i1", "i2", "i3"],
    )
    ranked = [[each["itemId"] for each in answer["personalizedRanking"]] for answer in answers]
    assert [sorted(each) for each in ranked] == [["i0", "i1", "i2", "i3"]] * 2
    run(PersonalizeDeleteCampaignOperator, campaign_arn=arn)


def test_actions_are_streamed_and_recommended(shop):
    records = {
        "Actions": schema("Actions", ("ACTION_ID", "string"), ("VALUE", ["null", "long"])),
        "Action_Interactions": schema(
            "ActionInteractions",
            *((name, "string") for name in ("USER_ID", "ACTION_ID", "EVENT_TYPE")),
            ("TIMESTAMP", "long"),
        ),
    }
    actions, interactions = (
        run(
            PersonalizeCreateDatasetOperator,
            dataset_name=f"shop-{kind}",
            dataset_type=kind,
            schema_arn=run(PersonalizeCreateSchemaOperator, schema_name=f"shop-{kind}", schema=text),
            dataset_group_arn=shop.group,
        )
        for kind, text in records.items()
    )
    call(
        PersonalizePutActionsOperator,
        dataset_arn=actions,
        records=[{"actionId": name, "properties": {"value": 5}} for name in ("join", "rate")],
    )
    taken = [
        {
            "userId": f"u{user}",
            "actionId": action,
            "eventType": "Taken" if (user % 2 == 0) == (action == "join") else "Viewed",
            "timestamp": 1_700_000_000 + user,
        }
        for user, action in itertools.product(range(USERS), ("join", "rate"))
    ]
    sent = call(PersonalizePutActionInteractionsOperator, dataset_arn=interactions, records=taken)
    assert sent == {"records": 2 * USERS, "requests": 2 * USERS / 10}
    _, version = train(shop.group, "actions", recipe="next-best-action")
    arn = run(PersonalizeCreateCampaignOperator, campaign_name="actions", solution_version_arn=version)
    (answer,) = call(
        PersonalizeGetActionRecommendationsOperator, campaign_arn=arn, user_ids=["nobody"], num_results="2"
    )
    assert {each["actionId"] for each in answer["actionList"]} == {"join", "rate"}
    run(PersonalizeDeleteCampaignOperator, campaign_arn=arn)
