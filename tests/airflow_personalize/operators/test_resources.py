"""What lives long, made and adopted in the running local Personalize."""

from __future__ import annotations

from local_shop import make_group, tags_of, train
from operator_runs import call, run

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.operators import (
    PersonalizeCreateCampaignOperator,
    PersonalizeCreateDatasetGroupOperator,
    PersonalizeDeleteCampaignOperator,
    PersonalizeGetSolutionMetricsOperator,
    PersonalizeTagResourceOperator,
    PersonalizeUntagResourceOperator,
)
from airflow_personalize.resources import (
    CAMPAIGN,
)


def test_what_was_made_is_adopted_by_a_second_run(account, shop):
    group, datasets = make_group("shop")
    assert (group, datasets) == (shop.group, shop.datasets)
    assert train(group, "popular") == (shop.solution, shop.version)
    metrics = call(PersonalizeGetSolutionMetricsOperator, solution_version_arn=shop.version)
    assert 0 <= metrics["coverage"] <= 1


def test_tags_are_given_at_creation_and_after(shop):
    assert tags_of(shop.group) == tags_of(shop.solution) == {"team": "mail"}
    call(PersonalizeTagResourceOperator, resource_arn=shop.group, tags={"cost": "7", "team": "post"})
    assert tags_of(shop.group) == {"team": "post", "cost": "7"}
    call(PersonalizeUntagResourceOperator, resource_arn=shop.group, tag_keys=["cost", "never"])
    run(PersonalizeCreateDatasetGroupOperator, dataset_group_name="shop", tags={"team": "mail", "new": "1"})
    assert tags_of(shop.group) == {"team": "mail", "new": "1"}


def test_a_campaign_that_follows_its_solution_is_adopted(shop):
    follower = {
        "campaign_name": "follower",
        "solution_version_arn": f"{shop.solution}/$LATEST",
        "campaign_config": {"syncWithLatestSolutionVersion": True},
    }
    arn = run(PersonalizeCreateCampaignOperator, **follower)
    assert run(PersonalizeCreateCampaignOperator, **follower) == arn
    run(PersonalizeDeleteCampaignOperator, campaign_arn=arn)
    assert PersonalizeHook().describe_if_any(CAMPAIGN, arn) is None
