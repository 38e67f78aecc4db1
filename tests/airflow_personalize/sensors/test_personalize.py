"""Every sensor: looks, defers or waits here, and tells a failure from a wait."""

from __future__ import annotations

import inspect

import pytest
from airflow.sdk.exceptions import TaskDeferred
from operator_runs import run

from airflow_personalize.errors import PersonalizeFatalError, PersonalizeRetriableError
from airflow_personalize.resources import RESOURCES
from airflow_personalize.sensors import personalize as module
from airflow_personalize.sensors.personalize import (
    PersonalizeBaseSensor,
    PersonalizeBatchInferenceJobSensor,
    PersonalizeBatchSegmentJobSensor,
    PersonalizeCampaignSensor,
    PersonalizeCampaignUpdateSensor,
    PersonalizeDataDeletionJobSensor,
    PersonalizeDatasetExportJobSensor,
    PersonalizeDatasetGroupSensor,
    PersonalizeDatasetImportJobSensor,
    PersonalizeDatasetSensor,
    PersonalizeDatasetUpdateSensor,
    PersonalizeEventTrackerSensor,
    PersonalizeFilterSensor,
    PersonalizeMetricAttributionSensor,
    PersonalizeRecommenderSensor,
    PersonalizeRecommenderUpdateSensor,
    PersonalizeSolutionSensor,
    PersonalizeSolutionUpdateSensor,
    PersonalizeSolutionVersionSensor,
)

ARN = "arn:aws:personalize:eu-west-1:123456789012:thing/one"
# Sensor: operation, where the status is, the status that ends it well.
CASES = {
    PersonalizeDatasetGroupSensor: ("DescribeDatasetGroup", "datasetGroup", "ACTIVE"),
    PersonalizeDatasetSensor: ("DescribeDataset", "dataset", "ACTIVE"),
    PersonalizeDatasetImportJobSensor: ("DescribeDatasetImportJob", "datasetImportJob", "ACTIVE"),
    PersonalizeDatasetExportJobSensor: ("DescribeDatasetExportJob", "datasetExportJob", "ACTIVE"),
    PersonalizeDataDeletionJobSensor: ("DescribeDataDeletionJob", "dataDeletionJob", "COMPLETED"),
    PersonalizeSolutionSensor: ("DescribeSolution", "solution", "ACTIVE"),
    PersonalizeSolutionVersionSensor: ("DescribeSolutionVersion", "solutionVersion", "ACTIVE"),
    PersonalizeFilterSensor: ("DescribeFilter", "filter", "ACTIVE"),
    PersonalizeBatchInferenceJobSensor: ("DescribeBatchInferenceJob", "batchInferenceJob", "ACTIVE"),
    PersonalizeBatchSegmentJobSensor: ("DescribeBatchSegmentJob", "batchSegmentJob", "ACTIVE"),
    PersonalizeCampaignSensor: ("DescribeCampaign", "campaign", "ACTIVE"),
    PersonalizeEventTrackerSensor: ("DescribeEventTracker", "eventTracker", "ACTIVE"),
    PersonalizeMetricAttributionSensor: ("DescribeMetricAttribution", "metricAttribution", "ACTIVE"),
    PersonalizeRecommenderSensor: ("DescribeRecommender", "recommender", "ACTIVE"),
    PersonalizeRecommenderUpdateSensor: (
        "DescribeRecommender",
        "recommender.latestRecommenderUpdate",
        "ACTIVE",
    ),
    PersonalizeDatasetUpdateSensor: ("DescribeDataset", "dataset.latestDatasetUpdate", "ACTIVE"),
    PersonalizeSolutionUpdateSensor: ("DescribeSolution", "solution.latestSolutionUpdate", "ACTIVE"),
    PersonalizeCampaignUpdateSensor: ("DescribeCampaign", "campaign.latestCampaignUpdate", "ACTIVE"),
}
UPDATES = [each for each, case in CASES.items() if "." in case[1]]


def reply(path, status, **more):
    member, _, below = path.partition(".")
    told = {"status": status, **more}
    return {member: {"status": "ACTIVE", below: told} if below else told}


def serve(server, sensor_class, *statuses):
    operation, path, _ = CASES[sensor_class]
    server.on(operation, *(reply(path, status, failureReason="No access.") for status in statuses))


def make(sensor_class, **more):
    return sensor_class(task_id="task", arn=ARN, **({"poke_interval": 1} | more))


def test_every_sensor_has_a_case_and_every_waiting_resource_a_sensor():
    sensors = {
        each
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, PersonalizeBaseSensor) and each is not PersonalizeBaseSensor
    }
    assert sensors == set(CASES)
    awaited = {each.trigger_class.wait.resource.member for each in sensors}
    assert awaited == {each.member for each in RESOURCES if each.waiter}


@pytest.mark.parametrize("sensor_class", CASES)
def test_every_own_parameter_is_templated(sensor_class):
    assert set(sensor_class.template_fields) == {"arn", "aws_conn_id", "region_name", "verify"}


@pytest.mark.parametrize("sensor_class", CASES)
def test_returns_at_once_what_is_ready(personalize, context, sensor_class):
    serve(personalize, sensor_class, CASES[sensor_class][2])
    assert make(sensor_class).execute(context) == ARN
    assert len(personalize.calls) == 1


@pytest.mark.parametrize("sensor_class", CASES)
def test_defers_while_it_is_pending(personalize, context, sensor_class):
    serve(personalize, sensor_class, "CREATE PENDING")
    with pytest.raises(TaskDeferred) as deferred:
        make(sensor_class).execute(context)
    assert type(deferred.value.trigger) is sensor_class.trigger_class
    operation, path, _ = CASES[sensor_class]
    assert sensor_class.trigger_class.wait.path == path
    assert sensor_class.__name__.startswith(f"Personalize{operation.removeprefix('Describe')}")
    event = {"status": "success", "arn": ARN}
    assert getattr(make(sensor_class), deferred.value.method_name)(context, event) == ARN


def test_goes_on_in_the_triggerer(personalize, context):
    serve(personalize, PersonalizeFilterSensor, "CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE")
    assert run(PersonalizeFilterSensor, context, arn=ARN, poke_interval=0.01) == ARN
    assert len(personalize.calls) == 3


@pytest.mark.parametrize("sensor_class", CASES)
def test_waits_in_the_worker_when_not_deferrable(personalize, context, sensor_class):
    serve(personalize, sensor_class, "CREATE PENDING", CASES[sensor_class][2])
    sensor = make(sensor_class, deferrable=False, poke_interval=0.01)
    assert sensor.execute(context) == ARN
    assert len(personalize.calls) == 2


@pytest.mark.parametrize("sensor_class", CASES)
def test_what_failed_fails_the_task_for_good_with_the_reason(personalize, context, sensor_class):
    serve(personalize, sensor_class, "CREATE FAILED")
    # The API has no failureReason for these three.
    reasonless = {PersonalizeDatasetSensor, PersonalizeSolutionSensor, PersonalizeEventTrackerSensor}
    reason = "the service gave no reason" if sensor_class in reasonless else "No access"
    with pytest.raises(PersonalizeFatalError, match=f"ended as CREATE FAILED: {reason}"):
        make(sensor_class).execute(context)


@pytest.mark.parametrize("sensor_class", UPDATES)
def test_what_was_never_updated_is_not_waited_for(personalize, context, sensor_class):
    operation, path, _ = CASES[sensor_class]
    personalize.on(operation, {path.split(".")[0]: {"status": "ACTIVE"}})
    assert make(sensor_class).execute(context) == ARN


def test_what_fails_while_deferred_fails_the_task_for_good(personalize, context):
    sensor_class = PersonalizeDatasetImportJobSensor
    serve(personalize, sensor_class, "CREATE PENDING", "CREATE FAILED")
    with pytest.raises(PersonalizeFatalError, match="ended as CREATE FAILED: No access"):
        run(sensor_class, context, arn=ARN, poke_interval=0.01)


def test_the_polls_cover_the_sensor_s_timeout(personalize, context):
    serve(personalize, PersonalizeFilterSensor, "CREATE PENDING")
    with pytest.raises(TaskDeferred) as deferred:
        make(PersonalizeFilterSensor, poke_interval=30, timeout=100).execute(context)
    assert deferred.value.timeout.total_seconds() == 100
    _, parameters = deferred.value.trigger.serialize()
    assert (parameters["waiter_delay"], parameters["waiter_max_attempts"]) == (30, 4)


def test_the_end_of_the_polls_is_worth_a_retry(personalize, context):
    serve(personalize, PersonalizeFilterSensor, "CREATE PENDING")
    event = {"status": "error", "arn": ARN, "message": "not ready", "fatal": False}
    with pytest.raises(PersonalizeRetriableError, match="not ready"):
        make(PersonalizeFilterSensor).execute_complete(context, event)


def test_what_does_not_exist_fails_the_task_for_good(personalize, context):
    personalize.on("DescribeFilter", personalize.refusal("ResourceNotFoundException"))
    with pytest.raises(PersonalizeFatalError, match="Create what the request refers to first"):
        make(PersonalizeFilterSensor).execute(context)


def test_a_service_that_does_not_answer_for_the_moment_is_looked_at_again(personalize, context):
    busy = personalize.refusal("ServiceUnavailableException", status=503)
    describe = {"filter": {"status": "ACTIVE", "filterArn": ARN}}
    hook = {"botocore_config": {"retries": {"max_attempts": 0}}}
    personalize.on("DescribeFilter", busy, describe)
    sensor = make(PersonalizeFilterSensor, deferrable=False, poke_interval=0.01, **hook)
    assert sensor.execute(context) == ARN
    personalize.on("DescribeFilter", busy, describe)
    assert run(PersonalizeFilterSensor, context, arn=ARN, poke_interval=0.01, **hook) == ARN
