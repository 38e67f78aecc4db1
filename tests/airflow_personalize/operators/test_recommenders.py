"""A recommender of a domain dataset group in the running local Personalize, from its creation to its deletion."""

from __future__ import annotations

import pytest
from local_shop import INTERACTION_FIELDS, describe, import_rows, interactions_csv, schema, tags_of
from operator_runs import call, run

from airflow_personalize.errors import PersonalizeFatalError
from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.operators import (
    PersonalizeCreateDatasetGroupOperator,
    PersonalizeCreateDatasetOperator,
    PersonalizeCreateRecommenderOperator,
    PersonalizeCreateSchemaOperator,
    PersonalizeDeleteDatasetGroupOperator,
    PersonalizeDeleteRecommenderOperator,
    PersonalizeGetRecommendationsOperator,
    PersonalizeStartRecommenderOperator,
    PersonalizeStopRecommenderOperator,
    PersonalizeUpdateRecommenderOperator,
)
from airflow_personalize.resources import DATASET_GROUP, RECOMMENDER
from airflow_personalize.sensors.personalize import PersonalizeRecommenderSensor
from airflow_personalize.triggers.personalize import PersonalizeRecommenderStoppedTrigger

RECIPE = "arn:aws:personalize:::recipe/aws-ecomm-popular-items-by-views"


@pytest.fixture(scope="module")
def group(account):
    """A domain dataset group with views."""
    arn = run(PersonalizeCreateDatasetGroupOperator, dataset_group_name="domain", domain="ECOMMERCE")
    schema_arn = run(
        PersonalizeCreateSchemaOperator,
        schema_name="domain-interactions",
        schema=schema("Interactions", *INTERACTION_FIELDS),
        domain="ECOMMERCE",
    )
    dataset = run(
        PersonalizeCreateDatasetOperator,
        dataset_name="domain-interactions",
        dataset_type="Interactions",
        schema_arn=schema_arn,
        dataset_group_arn=arn,
    )
    views = interactions_csv().replace(",buy,", ",View,").replace(",view,", ",View,")
    import_rows(account, "domain-interactions", dataset, "in/domain.csv", views)
    return arn


def create(group, name="viewed", **more):
    parameters = {"recommender_name": name, "dataset_group_arn": group, "recipe_arn": RECIPE, **more}
    return run(PersonalizeCreateRecommenderOperator, **parameters)


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_recommender_is_made_asked_updated_stopped_started_and_deleted(group, deferrable, monkeypatch):
    if deferrable:
        # Every step defers.
        monkeypatch.setattr("airflow_personalize.hooks.personalize_client.QUICK_LOOKS", 0)
    arn = create(group, tags={"team": "mail"}, deferrable=deferrable)
    assert create(group, tags={"team": "mail"}, deferrable=deferrable) == arn
    assert tags_of(arn) == {"team": "mail"}
    (answer,) = call(
        PersonalizeGetRecommendationsOperator, recommender_arn=arn, user_ids=["u1"], num_results=3
    )
    assert len(answer["itemList"]) == 3
    assert set(answer["itemList"][0]) == {"itemId"}, "recommenders have no scores"

    config = {"minRecommendationRequestsPerSecond": "4"}
    for _ in range(2):
        run(PersonalizeUpdateRecommenderOperator, recommender_arn=arn, recommender_config=config)
    found = describe(RECOMMENDER, arn)
    assert found["recommenderConfig"] == {"minRecommendationRequestsPerSecond": 4}
    assert found["latestRecommenderUpdate"]["status"] == "ACTIVE"

    for operator, status in (
        (PersonalizeStopRecommenderOperator, "INACTIVE"),
        (PersonalizeStartRecommenderOperator, "ACTIVE"),
    ):
        for _ in range(2):
            assert run(operator, recommender_arn=arn, deferrable=deferrable) == arn
            assert describe(RECOMMENDER, arn)["status"] == status
        if status == "INACTIVE":
            assert create(group, tags={"team": "mail"}) == arn, "adopted, and not started"
            with pytest.raises(PersonalizeFatalError, match="must be ACTIVE"):
                call(PersonalizeGetRecommendationsOperator, recommender_arn=arn, user_ids=["u1"])
    assert run(PersonalizeRecommenderSensor, arn=arn) == arn
    for _ in range(2):
        run(PersonalizeDeleteRecommenderOperator, recommender_arn=arn, deferrable=deferrable)
    assert PersonalizeHook().describe_if_any(RECOMMENDER, arn) is None


def test_the_status_before_a_stop_does_not_end_its_wait(personalize):
    arn = "arn:aws:personalize:eu-west-1:123456789012:recommender/r"
    states = ({"recommender": {"status": status}} for status in ("ACTIVE", "STOP PENDING", "INACTIVE"))
    personalize.on("DescribeRecommender", *states)
    wait, hook = PersonalizeRecommenderStoppedTrigger.wait, PersonalizeHook()
    assert [hook.has_ended(wait, arn) for _ in range(3)] == [False, False, True]


def test_a_use_case_of_another_domain_is_refused(group):
    with pytest.raises(PersonalizeFatalError, match="requires a dataset group of the domain VIDEO_ON_DEMAND"):
        create(group, "wrong", recipe_arn="arn:aws:personalize:::recipe/aws-vod-most-popular")


def test_a_cascade_takes_the_recommenders_of_the_group(group):
    arn = create(group, "doomed")
    run(PersonalizeDeleteDatasetGroupOperator, dataset_group_arn=group, cascade=True)
    hook = PersonalizeHook()
    assert hook.describe_if_any(RECOMMENDER, arn) is None
    assert hook.describe_if_any(DATASET_GROUP, group) is None
