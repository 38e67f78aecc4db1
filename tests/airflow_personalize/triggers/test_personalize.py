"""Every trigger: what it waits for, what it yields, what of it survives the database."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from operator_runs import rebuilt
from trigger_cases import ARN, DELETED, event

from airflow_personalize.resources import RESOURCES
from airflow_personalize.triggers import personalize
from airflow_personalize.triggers.personalize import (
    PersonalizeBaseTrigger,
    PersonalizeBatchInferenceJobCompletedTrigger,
    PersonalizeBatchSegmentJobCompletedTrigger,
    PersonalizeCampaignActiveTrigger,
    PersonalizeCampaignUpdatedTrigger,
    PersonalizeDataDeletionJobCompletedTrigger,
    PersonalizeDatasetActiveTrigger,
    PersonalizeDatasetExportJobCompletedTrigger,
    PersonalizeDatasetGroupActiveTrigger,
    PersonalizeDatasetImportJobCompletedTrigger,
    PersonalizeDatasetUpdatedTrigger,
    PersonalizeEventTrackerActiveTrigger,
    PersonalizeFilterActiveTrigger,
    PersonalizeMetricAttributionActiveTrigger,
    PersonalizeMetricAttributionUpdatedTrigger,
    PersonalizeRecommenderActiveTrigger,
    PersonalizeRecommenderStartedTrigger,
    PersonalizeRecommenderStoppedTrigger,
    PersonalizeRecommenderUpdatedTrigger,
    PersonalizeSolutionActiveTrigger,
    PersonalizeSolutionUpdatedTrigger,
    PersonalizeSolutionVersionCompletedTrigger,
    PersonalizeSolutionVersionStoppedTrigger,
)

NO_RETRIES = {"retries": {"max_attempts": 0}}


# Trigger: the operation it polls, where in the reply the status is, the status that ends it well.
MADE = {
    PersonalizeDatasetGroupActiveTrigger: ("DescribeDatasetGroup", "datasetGroup", "ACTIVE"),
    PersonalizeDatasetActiveTrigger: ("DescribeDataset", "dataset", "ACTIVE"),
    PersonalizeDatasetImportJobCompletedTrigger: ("DescribeDatasetImportJob", "datasetImportJob", "ACTIVE"),
    PersonalizeDatasetExportJobCompletedTrigger: ("DescribeDatasetExportJob", "datasetExportJob", "ACTIVE"),
    PersonalizeDataDeletionJobCompletedTrigger: ("DescribeDataDeletionJob", "dataDeletionJob", "COMPLETED"),
    PersonalizeSolutionActiveTrigger: ("DescribeSolution", "solution", "ACTIVE"),
    PersonalizeSolutionVersionCompletedTrigger: ("DescribeSolutionVersion", "solutionVersion", "ACTIVE"),
    PersonalizeFilterActiveTrigger: ("DescribeFilter", "filter", "ACTIVE"),
    PersonalizeBatchInferenceJobCompletedTrigger: (
        "DescribeBatchInferenceJob",
        "batchInferenceJob",
        "ACTIVE",
    ),
    PersonalizeBatchSegmentJobCompletedTrigger: ("DescribeBatchSegmentJob", "batchSegmentJob", "ACTIVE"),
    PersonalizeCampaignActiveTrigger: ("DescribeCampaign", "campaign", "ACTIVE"),
    PersonalizeEventTrackerActiveTrigger: ("DescribeEventTracker", "eventTracker", "ACTIVE"),
    PersonalizeMetricAttributionActiveTrigger: ("DescribeMetricAttribution", "metricAttribution", "ACTIVE"),
    PersonalizeMetricAttributionUpdatedTrigger: ("DescribeMetricAttribution", "metricAttribution", "ACTIVE"),
    PersonalizeDatasetUpdatedTrigger: ("DescribeDataset", "dataset.latestDatasetUpdate", "ACTIVE"),
    PersonalizeSolutionUpdatedTrigger: ("DescribeSolution", "solution.latestSolutionUpdate", "ACTIVE"),
    PersonalizeCampaignUpdatedTrigger: ("DescribeCampaign", "campaign.latestCampaignUpdate", "ACTIVE"),
    PersonalizeRecommenderActiveTrigger: ("DescribeRecommender", "recommender", "ACTIVE"),
    PersonalizeRecommenderStartedTrigger: ("DescribeRecommender", "recommender", "ACTIVE"),
    PersonalizeRecommenderStoppedTrigger: ("DescribeRecommender", "recommender", "INACTIVE"),
    PersonalizeRecommenderUpdatedTrigger: (
        "DescribeRecommender",
        "recommender.latestRecommenderUpdate",
        "ACTIVE",
    ),
    PersonalizeSolutionVersionStoppedTrigger: (
        "DescribeSolutionVersion",
        "solutionVersion",
        "CREATE STOPPED",
    ),
}


# A failed training is an end too for who waits for it to stop.
CAN_FAIL = [each for each in MADE if each is not PersonalizeSolutionVersionStoppedTrigger]


# The API has no failureReason for these.
REASONLESS = {
    PersonalizeDatasetActiveTrigger,
    PersonalizeSolutionActiveTrigger,
    PersonalizeEventTrackerActiveTrigger,
}


def reply(path: str, status: str, **more: str) -> dict[str, Any]:
    member, _, below = path.partition(".")
    told = {"status": status, **more}
    return {member: {"status": "ACTIVE", below: told} if below else told}


def test_every_trigger_has_a_case():
    triggers = {
        each
        for _, each in inspect.getmembers(personalize, inspect.isclass)
        if issubclass(each, PersonalizeBaseTrigger) and each is not PersonalizeBaseTrigger
    }
    assert triggers == {*MADE, *DELETED}


def test_every_awaited_resource_has_one_trigger_of_its_creation():
    ready = sorted(each.wait.resource.member for each in MADE if each.wait.outcome == "ready")
    assert ready == sorted(resource.member for resource in RESOURCES if resource.waiter)


@pytest.mark.parametrize("trigger_class", [*MADE, *DELETED])
def test_every_parameter_survives_the_database(trigger_class):
    parameters = {
        "arn": ARN,
        "waiter_delay": 7,
        "waiter_max_attempts": 9,
        "aws_conn_id": "aws_other",
        "region_name": "eu-central-1",
        "verify": "/etc/ca.pem",
        "botocore_config": {"read_timeout": 5},
    }
    extra = {"stop_on_kill": True} if trigger_class is PersonalizeSolutionVersionCompletedTrigger else {}
    trigger = trigger_class(**parameters, **extra)
    path, serialized = trigger.serialize()
    assert path == f"{trigger_class.__module__}.{trigger_class.__name__}"
    assert serialized == parameters | extra
    again = rebuilt(trigger)
    assert type(again) is trigger_class
    assert again.serialize() == (path, serialized)


@pytest.mark.parametrize("trigger_class", [*MADE, *DELETED])
def test_polls_cover_the_patience_by_default(trigger_class):
    trigger = trigger_class(arn=ARN, waiter_delay=60)
    assert trigger.attempts * 60 == trigger_class.wait.patience_seconds
    if trigger_class.wait.outcome == "ready":
        assert trigger_class.wait.patience_seconds == trigger_class.wait.resource.patience_seconds


@pytest.mark.parametrize("trigger_class", MADE)
def test_yields_the_arn_at_the_good_end(personalize, trigger_class):
    operation, path, good = MADE[trigger_class]
    throttled = personalize.refusal("ThrottlingException")
    pending = [reply(path, "CREATE PENDING"), throttled, reply(path, "CREATE IN_PROGRESS")]
    personalize.on(operation, *pending, reply(path, good))
    trigger = trigger_class(arn=ARN, waiter_delay=0, botocore_config=NO_RETRIES)
    assert event(trigger) == {"status": "success", "arn": ARN}
    asked = {trigger_class.wait.resource.arn_member: ARN}
    assert personalize.calls == [(operation, asked)] * 4


@pytest.mark.parametrize("trigger_class", CAN_FAIL)
def test_yields_the_service_s_reason_and_advice_when_it_failed(personalize, trigger_class):
    operation, path, _ = MADE[trigger_class]
    personalize.on(operation, reply(path, "CREATE FAILED", failureReason="Too few users."))
    told = event(trigger_class(arn=ARN, waiter_delay=0))
    assert (told["status"], told["arn"], told["fatal"]) == ("error", ARN, False)
    reason = "the service gave no reason" if trigger_class in REASONLESS else "Too few users"
    noun = trigger_class.wait.resource.noun
    assert f"{noun} {ARN} ended as CREATE FAILED: {reason}. " in told["message"]
    assert "Mend the cause" in told["message"]


@pytest.mark.parametrize("trigger_class", [*MADE, *DELETED])
def test_a_refused_poll_is_fatal_and_an_end_of_polls_is_not(personalize, trigger_class):
    operation, path = (MADE | DELETED)[trigger_class][:2]
    personalize.on(operation, personalize.refusal("AccessDeniedException", "Not yours."))
    told = event(trigger_class(arn=ARN, waiter_delay=0))
    assert (told["status"], told["fatal"]) == ("error", True)
    assert "Not yours." in told["message"]
    personalize.calls.clear()
    personalize.on(operation, reply(path, "CREATE PENDING"))
    told = event(trigger_class(arn=ARN, waiter_delay=0, waiter_max_attempts=5))
    assert (told["status"], told["fatal"]) == ("error", False)
    assert "waits for it again. Raise waiter_max_attempts" in told["message"]
    assert len(personalize.calls) == 5


def test_a_lost_connection_is_worth_a_retry(personalize, monkeypatch):
    nobody = personalize.connection("personalize").replace(personalize.url, "http://127.0.0.1:9")
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", nobody)
    told = event(PersonalizeFilterActiveTrigger(arn=ARN, waiter_delay=0, botocore_config=NO_RETRIES))
    assert (told["status"], told["fatal"]) == ("error", False)
    assert f"Lost sight of filter {ARN}" in told["message"]
    assert "It goes on running" in told["message"]


@pytest.mark.parametrize(("stop_on_kill", "stops"), [(True, 1), (False, 0)])
def test_a_kill_stops_a_training_if_asked(personalize, stop_on_kill, stops):
    personalize.on("StopSolutionVersionCreation", {})
    trigger = PersonalizeSolutionVersionCompletedTrigger(arn=ARN, stop_on_kill=stop_on_kill)
    asyncio.run(rebuilt(trigger).on_kill())
    assert len(personalize.requests("StopSolutionVersionCreation")) == stops


@pytest.mark.parametrize("code", ["InvalidInputException", "ResourceInUseException"])
def test_a_kill_after_the_end_is_quiet(personalize, code):
    personalize.on("StopSolutionVersionCreation", personalize.refusal(code))
    asyncio.run(PersonalizeSolutionVersionCompletedTrigger(arn=ARN, stop_on_kill=True).on_kill())
    assert personalize.requests("StopSolutionVersionCreation") == [{"solutionVersionArn": ARN}]
