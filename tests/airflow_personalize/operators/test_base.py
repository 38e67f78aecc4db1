"""Operators of Amazon Personalize: create or adopt, make the ARN known, defer or wait, return or raise."""

from __future__ import annotations

import asyncio
import inspect
import logging
from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk.exceptions import TaskDeferred
from operator_runs import first_event, rebuilt

from airflow_personalize import operators as package
from airflow_personalize.errors import PersonalizeFatalError, PersonalizeRetriableError
from airflow_personalize.operators import (
    PersonalizeCreateBatchInferenceJobOperator,
    PersonalizeCreateBatchSegmentJobOperator,
    PersonalizeCreateCampaignOperator,
    PersonalizeCreateDataDeletionJobOperator,
    PersonalizeCreateDatasetExportJobOperator,
    PersonalizeCreateDatasetGroupOperator,
    PersonalizeCreateDatasetImportJobOperator,
    PersonalizeCreateDatasetOperator,
    PersonalizeCreateEventTrackerOperator,
    PersonalizeCreateFilterOperator,
    PersonalizeCreateMetricAttributionOperator,
    PersonalizeCreateRecommenderOperator,
    PersonalizeCreateSchemaOperator,
    PersonalizeCreateSolutionOperator,
    PersonalizeCreateSolutionVersionOperator,
    PersonalizeGetRecommendationsOperator,
    PersonalizeGetSolutionMetricsOperator,
    PersonalizePutActionInteractionsOperator,
    PersonalizePutEventsOperator,
    PersonalizePutItemsOperator,
    PersonalizeUpdateCampaignOperator,
)
from airflow_personalize.operators.base import PersonalizeCreateBaseOperator

PREFIX = "arn:aws:personalize:eu-west-1:123456789012:"
GROUP, SOLUTION, VERSION = (
    PREFIX + "dataset-group/shop",
    PREFIX + "solution/up",
    PREFIX + "solution/up/0a1b2c3d",
)
ROLE = "arn:aws:iam::123456789012:role/personalize"
# Operator: its own parameters, the request they make, the tail of the ARN.
CASES = {
    PersonalizeCreateDatasetGroupOperator: (
        {
            "dataset_group_name": "shop",
            "role_arn": ROLE,
            "kms_key_arn": "arn:aws:kms:k",
            "domain": "ECOMMERCE",
        },
        {"name": "shop", "roleArn": ROLE, "kmsKeyArn": "arn:aws:kms:k", "domain": "ECOMMERCE"},
        "dataset-group/shop",
    ),
    PersonalizeCreateSchemaOperator: (
        {"schema_name": "s", "schema": {"type": "record"}},
        {"name": "s", "schema": '{"type": "record"}'},
        "schema/s",
    ),
    PersonalizeCreateDatasetOperator: (
        {
            "dataset_name": "d",
            "dataset_type": "Items",
            "schema_arn": PREFIX + "schema/s",
            "dataset_group_arn": GROUP,
        },
        {"name": "d", "datasetType": "ITEMS", "schemaArn": PREFIX + "schema/s", "datasetGroupArn": GROUP},
        "dataset/shop/ITEMS",
    ),
    PersonalizeCreateSolutionOperator: (
        {"solution_name": "up", "dataset_group_arn": GROUP, "recipe_arn": "r" * 20, "event_type": "Purchase"},
        {
            "name": "up",
            "datasetGroupArn": GROUP,
            "recipeArn": "r" * 20,
            "eventType": "Purchase",
            "performHPO": False,
            "performAutoTraining": False,
        },
        "solution/up",
    ),
    PersonalizeCreateFilterOperator: (
        {"filter_name": "f", "dataset_group_arn": GROUP, "filter_expression": "EXCLUDE …"},
        {"name": "f", "datasetGroupArn": GROUP, "filterExpression": "EXCLUDE …"},
        "filter/f",
    ),
    PersonalizeCreateDatasetImportJobOperator: (
        {
            "job_name": "i",
            "dataset_arn": PREFIX + "dataset/shop/ITEMS",
            "data_location": "s3://b/i/",
            "role_arn": ROLE,
        },
        {
            "jobName": "i",
            "datasetArn": PREFIX + "dataset/shop/ITEMS",
            "dataSource": {"dataLocation": "s3://b/i/"},
            "roleArn": ROLE,
            "importMode": "FULL",
        },
        "dataset-import-job/i",
    ),
    PersonalizeCreateSolutionVersionOperator: (
        {"solution_version_name": "v", "solution_arn": SOLUTION, "training_mode": "UPDATE"},
        {"name": "v", "solutionArn": SOLUTION, "trainingMode": "UPDATE"},
        "solution/up/0a1b2c3d",
    ),
    PersonalizeCreateBatchInferenceJobOperator: (
        {
            "job_name": "b",
            "solution_version_arn": VERSION,
            "input_path": "s3://b/in/",
            "output_path": "s3://b/out/",
            "role_arn": ROLE,
            "num_results": "12",
            "filter_arn": PREFIX + "filter/f",
        },
        {
            "jobName": "b",
            "solutionVersionArn": VERSION,
            "jobInput": {"s3DataSource": {"path": "s3://b/in/"}},
            "jobOutput": {"s3DataDestination": {"path": "s3://b/out/"}},
            "roleArn": ROLE,
            "numResults": 12,
            "filterArn": PREFIX + "filter/f",
        },
        "batch-inference-job/b",
    ),
    PersonalizeCreateBatchSegmentJobOperator: (
        {
            "job_name": "g",
            "solution_version_arn": VERSION,
            "input_path": "s3://b/in/",
            "output_path": "s3://b/out/",
            "role_arn": ROLE,
            "num_results": 100,
            "output_kms_key_arn": "arn:aws:kms:k",
        },
        {
            "jobName": "g",
            "solutionVersionArn": VERSION,
            "jobInput": {"s3DataSource": {"path": "s3://b/in/"}},
            "jobOutput": {"s3DataDestination": {"path": "s3://b/out/", "kmsKeyArn": "arn:aws:kms:k"}},
            "roleArn": ROLE,
            "numResults": 100,
        },
        "batch-segment-job/g",
    ),
    PersonalizeCreateDatasetExportJobOperator: (
        {
            "job_name": "e",
            "dataset_arn": PREFIX + "dataset/shop/ITEMS",
            "output_path": "s3://b/out/",
            "role_arn": ROLE,
            "ingestion_mode": "ALL",
        },
        {
            "jobName": "e",
            "datasetArn": PREFIX + "dataset/shop/ITEMS",
            "ingestionMode": "ALL",
            "roleArn": ROLE,
            "jobOutput": {"s3DataDestination": {"path": "s3://b/out/"}},
        },
        "dataset-export-job/e",
    ),
    PersonalizeCreateDataDeletionJobOperator: (
        {"job_name": "d", "dataset_group_arn": GROUP, "data_location": "s3://b/u.csv", "role_arn": ROLE},
        {
            "jobName": "d",
            "datasetGroupArn": GROUP,
            "dataSource": {"dataLocation": "s3://b/u.csv"},
            "roleArn": ROLE,
        },
        "data-deletion-job/d",
    ),
    PersonalizeCreateCampaignOperator: (
        {
            "campaign_name": "c",
            "solution_version_arn": VERSION,
            "min_provisioned_tps": "1",
            "campaign_config": {"enableMetadataWithRecommendations": True},
        },
        {
            "name": "c",
            "solutionVersionArn": VERSION,
            "minProvisionedTPS": 1,
            "campaignConfig": {"enableMetadataWithRecommendations": True},
        },
        "campaign/c",
    ),
    PersonalizeCreateRecommenderOperator: (
        {
            "recommender_name": "r",
            "dataset_group_arn": GROUP,
            "recipe_arn": "arn:aws:personalize:::recipe/aws-ecomm-recommended-for-you",
            "recommender_config": {"minRecommendationRequestsPerSecond": "2"},
        },
        {
            "name": "r",
            "datasetGroupArn": GROUP,
            "recipeArn": "arn:aws:personalize:::recipe/aws-ecomm-recommended-for-you",
            "recommenderConfig": {"minRecommendationRequestsPerSecond": 2},
        },
        "recommender/r",
    ),
    PersonalizeCreateEventTrackerOperator: (
        {"event_tracker_name": "t", "dataset_group_arn": GROUP},
        {"name": "t", "datasetGroupArn": GROUP},
        "event-tracker/0a1b2c3d",
    ),
    PersonalizeCreateMetricAttributionOperator: (
        {
            "metric_attribution_name": "m",
            "dataset_group_arn": GROUP,
            "metrics": [{"eventType": "buy", "metricName": "n", "expression": "SAMPLECOUNT()"}],
            "role_arn": ROLE,
            "output_path": "s3://b/metrics/",
        },
        {
            "name": "m",
            "datasetGroupArn": GROUP,
            "metrics": [{"eventType": "buy", "metricName": "n", "expression": "SAMPLECOUNT()"}],
            "metricsOutputConfig": {"s3DataDestination": {"path": "s3://b/metrics/"}, "roleArn": ROLE},
        },
        "metric-attribution/m",
    ),
}
AWAITED = [operator for operator in CASES if operator is not PersonalizeCreateSchemaOperator]


def serve(server, operator_class, *statuses, **described):
    """Script an account in which one resource is made and then goes through ``statuses``."""
    resource, arn = operator_class.resource, PREFIX + CASES[operator_class][2]
    word = resource.member[0].upper() + resource.member[1:]
    server.on("DescribeSolution", {"solution": {"datasetGroupArn": GROUP}})
    server.on("DescribeSolutionVersion", {"solutionVersion": {"datasetGroupArn": GROUP}})
    server.on(f"Create{word}", {resource.arn_member: arn})
    answers = [
        {
            resource.member: CASES[operator_class][1]
            | {resource.arn_member: arn, "datasetGroupArn": GROUP, "status": status, "trackingId": "id"}
            | described
        }
        for status in statuses or ["CREATE PENDING"]
    ]
    server.on(f"Describe{word}", *answers)
    server.on("ListMetricAttributionMetrics", {"metrics": CASES[operator_class][1].get("metrics", [])})
    return arn, word


def taken(server, word):
    server.on(f"Create{word}", server.refusal("ResourceAlreadyExistsException"))


def listed(server, word, arn):
    member = word[0].lower() + word[1:]
    summary = {f"{member}Arn": arn, "creationDateTime": 1700000000, "name": CASES_BY_WORD[word]}
    server.on(f"List{word}s", {f"{member}s": [summary]})


CASES_BY_WORD = {"DatasetGroup": "shop", "Schema": "s", "SolutionVersion": "v", "EventTracker": "t"}
# Data deletion jobs alone do not end as ACTIVE.
DONE = {PersonalizeCreateDataDeletionJobOperator: "COMPLETED"}


def make(operator_class, **more):
    return operator_class(task_id="task", **({"waiter_delay": 0} | CASES[operator_class][0] | more))


def finish(operator, context, deferred):
    """Run the deferral as the triggerer does, then come back to the worker."""
    trigger = deferred.trigger

    async def events():
        return [event async for event in trigger.run()]

    (event,) = asyncio.run(events())
    return getattr(operator, deferred.method_name)(context, event=event.payload)


def complete(operator, context):
    """Execute an operator to its end, through the trigger where it defers."""
    try:
        return operator.execute(context)
    except TaskDeferred as deferred:
        return finish(operator, context, deferred)


def test_every_operator_that_creates_has_a_case():
    operators = {each for _, each in inspect.getmembers(package, inspect.isclass)}
    creating = {each for each in operators if issubclass(each, PersonalizeCreateBaseOperator)}
    assert creating == set(CASES)


@pytest.mark.parametrize("operator_class", AWAITED)
def test_defers_with_arn_and_link_known_and_returns_the_arn(
    personalize, context, operator_class, monkeypatch
):
    monkeypatch.setattr("airflow_personalize.hooks.personalize_client.QUICK_LOOKS", 0)
    arn, word = serve(personalize, operator_class, "CREATE PENDING", DONE.get(operator_class, "ACTIVE"))
    operator = make(operator_class)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(context)
    assert personalize.requests(f"Create{word}") == [CASES[operator_class][1]]
    (stored,) = context["ti"].pushed.values()
    assert (stored["arn"], stored["dataset_group_arn"]) == (arn, GROUP)
    (link,) = operator_class.operator_extra_links
    assert (
        "region=eu-west-1#arn:aws:personalize:eu-west-1:123456789012:dataset-group$shop"
        in link.format_link(**stored)
    )
    assert finish(operator, context, deferred.value) == arn


@pytest.mark.parametrize("operator_class", AWAITED)
def test_only_jobs_defer_when_the_resource_is_ready_at_once(
    personalize, context, operator_class, monkeypatch
):
    monkeypatch.setattr("airflow_personalize.hooks.personalize_client.QUICK_LOOK_SECONDS", 0)
    done = DONE.get(operator_class, "ACTIVE")
    arn, _ = serve(personalize, operator_class, "CREATE PENDING", "CREATE IN_PROGRESS", done)
    operator = make(operator_class)
    if operator.resource.single_use:
        with pytest.raises(TaskDeferred):
            operator.execute(context)
    else:
        assert operator.execute(context) == arn


@pytest.mark.parametrize("operator_class", AWAITED)
def test_waits_in_the_worker_when_not_deferrable(personalize, context, operator_class):
    done = DONE.get(operator_class, "ACTIVE")
    arn, word = serve(personalize, operator_class, "CREATE PENDING", "CREATE IN_PROGRESS", done)
    operator = make(operator_class, deferrable=False, waiter_delay=0)
    assert operator.execute(context) == arn
    assert len(personalize.requests(f"Describe{word}")) >= 2


@pytest.mark.parametrize("operator_class", CASES)
def test_does_not_wait_when_told_so(personalize, context, operator_class):
    arn, _ = serve(personalize, operator_class)
    assert make(operator_class, wait_for_completion=False).execute(context) == arn


@pytest.mark.parametrize("operator_class", CASES)
def test_an_active_one_is_adopted_without_waiting(personalize, context, operator_class):
    arn, word = serve(personalize, operator_class, DONE.get(operator_class, "ACTIVE"))
    taken(personalize, word)
    if word in CASES_BY_WORD:
        listed(personalize, word, arn)
    assert make(operator_class).execute(context) == arn


def test_one_under_way_is_adopted_and_awaited(personalize, context):
    arn, word = serve(
        personalize, PersonalizeCreateDatasetImportJobOperator, *["CREATE IN_PROGRESS"] * 2, "ACTIVE"
    )
    taken(personalize, word)
    operator = make(PersonalizeCreateDatasetImportJobOperator)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(context)
    assert finish(operator, context, deferred.value) == arn


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_failed_job_raises_for_a_retry_with_the_service_s_reason(personalize, context, deferrable):
    operator_class = PersonalizeCreateSolutionVersionOperator
    serve(
        personalize, operator_class, "CREATE PENDING", "CREATE FAILED", failureReason="Fewer than 25 users."
    )
    operator = make(operator_class, deferrable=deferrable, waiter_delay=0)
    with pytest.raises(PersonalizeRetriableError) as raised:
        complete(operator, context)
    assert f"solution version {VERSION} ended as CREATE FAILED: Fewer than 25 users." in str(raised.value)
    assert "the retry takes the next suffix" in str(raised.value)


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_refused_poll_fails_the_task_for_good(personalize, context, deferrable):
    operator_class = PersonalizeCreateFilterOperator
    serve(personalize, operator_class)
    personalize.on("DescribeFilter", personalize.refusal("AccessDeniedException", "Not yours."))
    operator = make(operator_class, deferrable=deferrable, waiter_delay=0)
    with pytest.raises(PersonalizeFatalError, match=r"Not yours.*Allow the action"):
        complete(operator, context)


def test_drift_fails_the_task_for_good(personalize, context):
    _, word = serve(personalize, PersonalizeCreateSolutionOperator, "ACTIVE", eventType="View")
    taken(personalize, word)
    with pytest.raises(PersonalizeFatalError, match='eventType: asked for "Purchase", found "View"'):
        make(PersonalizeCreateSolutionOperator).execute(context)


FULL_QUOTA = "More than 5 resources with PENDING or IN_PROGRESS status."


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_full_quota_is_waited_for(personalize, context, deferrable):
    arn, word = serve(personalize, PersonalizeCreateDatasetImportJobOperator)
    refused = personalize.refusal("LimitExceededException", FULL_QUOTA)
    personalize.on(f"Create{word}", refused, refused, {"datasetImportJobArn": arn})
    parameters = {"deferrable": deferrable, "wait_for_completion": False}
    leg, event, legs, result = "execute", {}, [], None
    while result is None:
        legs.append(leg)
        try:
            result = getattr(make(PersonalizeCreateDatasetImportJobOperator, **parameters), leg)(
                context, **event
            )
        except TaskDeferred as deferred:
            event = {"event": asyncio.run(first_event(rebuilt(deferred.trigger)))}
            leg = deferred.method_name
    assert result == arn
    assert len(personalize.requests(f"Create{word}")) == 3
    assert legs == (["execute", "execute_again", "execute_again"] if deferrable else ["execute"])


def test_a_full_quota_ends_the_task_after_its_time(personalize, context):
    personalize.on("CreateDatasetImportJob", personalize.refusal("LimitExceededException", FULL_QUOTA))
    operator = make(PersonalizeCreateDatasetImportJobOperator, quota_timeout=timedelta(hours=2))
    began = datetime.now(UTC) - timedelta(hours=1)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute_again(context, {"since": began.isoformat()})
    # The first refusal counts, not the last.
    assert deferred.value.trigger.since == began.isoformat()
    with pytest.raises(
        PersonalizeFatalError, match=r"5 pending or running import jobs.*Gave up after 2:00:00"
    ):
        operator.execute_again(context, {"since": (began - timedelta(hours=1)).isoformat()})


def test_a_wait_in_the_worker_is_no_work():
    hour = timedelta(hours=1)
    operator, waiting = (
        make(
            PersonalizeCreateDatasetImportJobOperator,
            deferrable=deferrable,
            execution_timeout=hour,
            waiter_delay=60,
            waiter_max_attempts=120,
            quota_timeout=3 * hour,
        )
        for deferrable in (True, False)
    )
    assert operator.execution_timeout == hour
    assert waiting.execution_timeout == 6 * hour


def test_a_quota_of_what_stays_is_no_reason_to_wait(personalize, context):
    refusal = personalize.refusal("LimitExceededException", "Account has reached 5 dataset groups.")
    personalize.on("CreateDatasetGroup", refusal)
    with pytest.raises(
        PersonalizeFatalError, match=r"5 active dataset groups.*Delete dataset groups that nothing uses"
    ):
        make(PersonalizeCreateDatasetGroupOperator).execute(context)


def test_a_link_that_cannot_be_made_fails_nothing(personalize, context, caplog):
    arn, _ = serve(personalize, PersonalizeCreateSolutionVersionOperator)
    personalize.on("DescribeSolution", personalize.refusal("AccessDeniedException"))
    operator = make(PersonalizeCreateSolutionVersionOperator, wait_for_completion=False)
    with caplog.at_level(logging.WARNING):
        assert operator.execute(context) == arn
    assert context["ti"].pushed == {}


def test_the_trigger_gets_region_verify_config_and_polls(personalize, context):
    serve(personalize, PersonalizeCreateFilterOperator)
    client = {"region_name": "eu-central-1", "verify": False, "botocore_config": {"read_timeout": 9}}
    with pytest.raises(TaskDeferred) as deferred:
        make(PersonalizeCreateFilterOperator, waiter_delay=30, **client).execute(context)
    _, parameters = deferred.value.trigger.serialize()
    expected = {"waiter_delay": 30, "waiter_max_attempts": 60, "aws_conn_id": "aws_default"}
    assert parameters == expected | client | {"arn": PREFIX + "filter/f"}


def test_the_delay_between_polls_comes_from_airflow_s_configuration(monkeypatch):
    monkeypatch.setenv("AIRFLOW__RECSYNC__WAITER_DELAY_SECONDS", "90")
    operator = make(PersonalizeCreateSolutionVersionOperator, waiter_delay=None)
    assert (operator.waiter_delay, operator.waiter_max_attempts) == (90, 960)
    monkeypatch.delenv("AIRFLOW__RECSYNC__WAITER_DELAY_SECONDS")
    assert make(PersonalizeCreateSolutionVersionOperator, waiter_delay=None).waiter_delay == 60
    assert operator.deferrable


@pytest.mark.parametrize(
    ("stop_on_kill", "adopted", "stops"), [(True, False, 1), (True, True, 0), (False, False, 0)]
)
def test_a_kill_stops_only_the_own_training(personalize, context, stop_on_kill, adopted, stops):
    arn, word = serve(personalize, PersonalizeCreateSolutionVersionOperator, "CREATE IN_PROGRESS")
    if adopted:
        taken(personalize, word)
        listed(personalize, word, arn)
    personalize.on("StopSolutionVersionCreation", {})
    operator = make(PersonalizeCreateSolutionVersionOperator, stop_on_kill=stop_on_kill)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(context)
    operator.on_kill()
    assert len(personalize.requests("StopSolutionVersionCreation")) == stops
    assert deferred.value.trigger.stop_on_kill == bool(stops)


def test_a_kill_after_the_end_is_quiet(personalize, context):
    serve(personalize, PersonalizeCreateSolutionVersionOperator)
    personalize.on("StopSolutionVersionCreation", personalize.refusal("InvalidInputException"))
    operator = make(PersonalizeCreateSolutionVersionOperator, stop_on_kill=True, wait_for_completion=False)
    operator.execute(context)
    operator.on_kill()
    assert len(personalize.requests("StopSolutionVersionCreation")) == 1


def test_metrics(personalize, context):
    personalize.on("GetSolutionMetrics", {"metrics": {"coverage": 0.25}})
    operator = PersonalizeGetSolutionMetricsOperator(task_id="task", solution_version_arn=VERSION)
    assert operator.execute(context) == {"coverage": 0.25}
    personalize.on("GetSolutionMetrics", personalize.refusal("ResourceNotFoundException"))
    with pytest.raises(PersonalizeFatalError):
        operator.execute(context)


@pytest.mark.parametrize(
    "operator_class",
    [each for _, each in inspect.getmembers(package, inspect.isclass)],
)
def test_execute_stays_short(operator_class):
    assert len(inspect.getsource(operator_class.execute).splitlines()) < 30


def test_tags_go_into_the_request_and_a_template_of_nothing_into_none(personalize, context):
    operator_class = PersonalizeCreateFilterOperator
    serve(personalize, operator_class)
    make(operator_class, tags={"team": "mail"}, wait_for_completion=False).execute(context)
    make(operator_class, tags={}, wait_for_completion=False).execute(context)
    first, second = personalize.requests("CreateFilter")
    assert first["tags"] == [{"tagKey": "team", "tagValue": "mail"}]
    assert "tags" not in second


def test_an_update_that_fails_tells_the_reason_and_that_the_old_is_in_force(personalize, context):
    campaign = PREFIX + "campaign/c"
    old = {"campaignArn": campaign, "solutionVersionArn": SOLUTION + "/old", "status": "ACTIVE"}
    update = {"solutionVersionArn": VERSION, "status": "CREATE PENDING"}
    failed = {**update, "status": "CREATE FAILED", "failureReason": "Too big."}
    updating = [{"campaign": {**old, "latestCampaignUpdate": each}} for each in (update, failed)]
    # One look by the update itself, one for the link, one before the deferral, then the trigger's.
    personalize.on("DescribeCampaign", {"campaign": old}, {"campaign": old}, *updating)
    personalize.on("DescribeSolution", {"solution": {"datasetGroupArn": GROUP}})
    personalize.on("UpdateCampaign", {"campaignArn": campaign})
    operator = PersonalizeUpdateCampaignOperator(
        task_id="task", campaign_arn=campaign, solution_version_arn=VERSION, waiter_delay=0
    )
    with pytest.raises(
        PersonalizeRetriableError, match=r"ended as CREATE FAILED: Too big\. What was in force"
    ):
        complete(operator, context)


@pytest.mark.parametrize(
    ("operator_class", "parameters", "told"),
    [
        (PersonalizePutItemsOperator, {"dataset_arn": "d"}, "records or data_location"),
        (
            PersonalizePutItemsOperator,
            {"dataset_arn": "d", "records": [], "data_location": "s3://b/k"},
            "records or data_location",
        ),
        (PersonalizePutEventsOperator, {"records": []}, "event_tracker_arn or tracking_id"),
        (
            PersonalizePutActionInteractionsOperator,
            {"records": [], "dataset_arn": "d", "tracking_id": "t"},
            "dataset_arn or tracking_id",
        ),
        (PersonalizeGetRecommendationsOperator, {"user_ids": ["u"]}, "campaign_arn or recommender_arn"),
    ],
)
def test_of_two_ways_exactly_one_is_asked_for_when_the_dag_is_parsed(operator_class, parameters, told):
    with pytest.raises(ValueError, match=f"Task 'put' takes {told}: give exactly one of them"):
        operator_class(task_id="put", **parameters)
