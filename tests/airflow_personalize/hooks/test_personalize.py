"""PersonalizeHook: repeated calls adopt, drift is told, failed jobs take the next suffix."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_personalize.errors import PersonalizeFatalError, PersonalizeRetriableError
from airflow_personalize.hooks.personalize import suffixed
from airflow_personalize.resource import Resource
from airflow_personalize.resources import (
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
    CAMPAIGN,
    DATA_DELETION_JOB,
    DATASET,
    DATASET_EXPORT_JOB,
    DATASET_GROUP,
    DATASET_IMPORT_JOB,
    FILTER,
    RECOMMENDER,
    RESOURCES,
    SCHEMA,
    SOLUTION,
    SOLUTION_VERSION,
)

PREFIX = "arn:aws:personalize:eu-west-1:123456789012:"
GROUP = PREFIX + "dataset-group/shop"
ROLE = "arn:aws:iam::123456789012:role/personalize"
VERSION = PREFIX + "solution/shop-up/0a1b2c3d"
SCHEMA_TEXT = '{"type":"record","name":"Interactions","fields":[{"name":"USER_ID","type":"string"}]}'

NAMED: dict[str, tuple[Resource, dict[str, Any], str]] = {
    "datasetGroup": (DATASET_GROUP, {"name": "shop"}, GROUP),
    "schema": (
        SCHEMA,
        {"name": "shop-interactions", "schema": SCHEMA_TEXT},
        PREFIX + "schema/shop-interactions",
    ),
    "dataset": (
        DATASET,
        {
            "name": "shop-interactions",
            "datasetType": "INTERACTIONS",
            "schemaArn": PREFIX + "schema/shop-interactions",
            "datasetGroupArn": GROUP,
        },
        PREFIX + "dataset/shop/INTERACTIONS",
    ),
    "solution": (
        SOLUTION,
        {
            "name": "shop-up",
            "datasetGroupArn": GROUP,
            "recipeArn": "arn:aws:personalize:::recipe/aws-user-personalization",
            "eventType": "Purchase",
            "solutionConfig": {
                "eventValueThreshold": "0.5",
                "algorithmHyperParameters": {"hidden_dimension": "64"},
            },
            "performHPO": False,
            "performAutoTraining": False,
        },
        PREFIX + "solution/shop-up",
    ),
    "filter": (
        FILTER,
        {
            "name": "not-bought",
            "datasetGroupArn": GROUP,
            "filterExpression": 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("Purchase")',
        },
        PREFIX + "filter/not-bought",
    ),
    "campaign": (
        CAMPAIGN,
        {
            "name": "shop-mail",
            "solutionVersionArn": VERSION,
            "campaignConfig": {"rankingInfluence": {"POPULARITY": 0.5}},
        },
        PREFIX + "campaign/shop-mail",
    ),
    "recommender": (
        RECOMMENDER,
        {
            "name": "for-you",
            "datasetGroupArn": GROUP,
            "recipeArn": "arn:aws:personalize:::recipe/aws-ecomm-recommended-for-you",
            "recommenderConfig": {"minRecommendationRequestsPerSecond": 2},
        },
        PREFIX + "recommender/for-you",
    ),
}
JOBS: dict[str, tuple[Resource, dict[str, Any], str]] = {
    "datasetImportJob": (
        DATASET_IMPORT_JOB,
        {
            "jobName": "shop-import",
            "datasetArn": PREFIX + "dataset/shop/INTERACTIONS",
            "dataSource": {"dataLocation": "s3://bucket/interactions/"},
            "roleArn": ROLE,
            "importMode": "FULL",
        },
        PREFIX + "dataset-import-job/shop-import",
    ),
    "solutionVersion": (
        SOLUTION_VERSION,
        {"name": "shop-full", "solutionArn": PREFIX + "solution/shop-up", "trainingMode": "FULL"},
        VERSION,
    ),
    "batchInferenceJob": (
        BATCH_INFERENCE_JOB,
        {
            "jobName": "shop-recommend",
            "solutionVersionArn": VERSION,
            "jobInput": {"s3DataSource": {"path": "s3://bucket/in.json"}},
            "jobOutput": {"s3DataDestination": {"path": "s3://bucket/out/"}},
            "roleArn": ROLE,
            "numResults": 10,
        },
        PREFIX + "batch-inference-job/shop-recommend",
    ),
    "batchSegmentJob": (
        BATCH_SEGMENT_JOB,
        {
            "jobName": "shop-segment",
            "solutionVersionArn": VERSION,
            "jobInput": {"s3DataSource": {"path": "s3://bucket/in.json"}},
            "jobOutput": {"s3DataDestination": {"path": "s3://bucket/out/"}},
            "roleArn": ROLE,
        },
        PREFIX + "batch-segment-job/shop-segment",
    ),
    "datasetExportJob": (
        DATASET_EXPORT_JOB,
        {
            "jobName": "shop-export",
            "datasetArn": PREFIX + "dataset/shop/INTERACTIONS",
            "roleArn": ROLE,
            "jobOutput": {"s3DataDestination": {"path": "s3://bucket/out/"}},
        },
        PREFIX + "dataset-export-job/shop-export",
    ),
    "dataDeletionJob": (
        DATA_DELETION_JOB,
        {
            "jobName": "shop-forget",
            "datasetGroupArn": GROUP,
            "dataSource": {"dataLocation": "s3://bucket/users.csv"},
            "roleArn": ROLE,
        },
        PREFIX + "data-deletion-job/shop-forget",
    ),
}
EVERYTHING = {**NAMED, **JOBS}


def api(resource: Resource) -> str:
    return resource.member[0].upper() + resource.member[1:]


class Account:
    """What an account holds, served through the scripted server by the rules of the real one."""

    def __init__(self, server: Any, resource: Resource) -> None:
        self.server, self.resource = server, resource
        self.held: dict[str, dict[str, Any]] = {}
        server.on(f"Create{api(resource)}", self._create)
        server.on(f"Describe{api(resource)}", self._describe)
        server.on(f"List{api(resource)}s", self._list)

    def hold(self, arn: str, request: dict[str, Any], status: str | None = "ACTIVE", **more: Any) -> None:
        times = {"creationDateTime": 1700000000 + len(self.held), "lastUpdatedDateTime": 1700000000}
        described = {**request, **times, **more, self.resource.arn_member: arn}
        self.held[arn] = described if status is None else {**described, "status": status}

    def created(self) -> list[str]:
        """The names of what was made, in order."""
        return [arn.split(":")[-1] for arn in self.held if arn.endswith("-new")]

    def _create(self, body: dict[str, Any]) -> Any:
        name_member = self.resource.name_member
        if any(held[name_member] == body[name_member] for held in self.held.values()):
            return self.server.refusal("ResourceAlreadyExistsException", "Another resource already exists.")
        arn = f"{PREFIX}{self.resource.operation}/{body[name_member]}-new"
        self.hold(arn, body, "CREATE PENDING")
        return {self.resource.arn_member: arn}

    def _describe(self, body: dict[str, Any]) -> Any:
        held = self.held.get(body[self.resource.arn_member])
        if held is None:
            return self.server.refusal("ResourceNotFoundException", "There is no such resource.")
        return {self.resource.member: held}

    def _list(self, body: dict[str, Any]) -> Any:
        """One summary a page, oldest first; solution versions without their names, as the service has it."""
        position = int(body.get("nextToken", 0))
        held = list(self.held.values())[position]
        hidden = {"name"} if self.resource is SOLUTION_VERSION else set()
        page = {self.resource.listing: [{key: value for key, value in held.items() if key not in hidden}]}
        return page | ({"nextToken": str(position + 1)} if position + 1 < len(self.held) else {})


@pytest.mark.parametrize("kind", EVERYTHING)
def test_creates_what_is_not_there(hook, aws_json_server, kind):
    resource, request, _ = EVERYTHING[kind]
    account = Account(aws_json_server, resource)
    arn, adopted = hook.create_or_adopt(resource, {**request, "tags": None})
    assert (list(account.held), adopted) == ([arn], False)
    assert aws_json_server.requests(f"Create{api(resource)}") == [request]


@pytest.mark.parametrize("kind", EVERYTHING)
@pytest.mark.parametrize("status", ["CREATE PENDING", "CREATE IN_PROGRESS", "IN PROGRESS", "ACTIVE"])
def test_adopts_what_is_there_and_alive(hook, aws_json_server, kind, status):
    resource, request, arn = EVERYTHING[kind]
    account = Account(aws_json_server, resource)
    account.hold(PREFIX + "other/one", {**request, resource.name_member: "other"})
    account.hold(arn, request, None if resource is SCHEMA else status)
    account.hold(PREFIX + "other/two", {**request, resource.name_member: "another"})
    assert hook.create_or_adopt(resource, request) == (arn, True)
    assert account.created() == []


def test_a_listed_resource_is_found_when_its_arn_is_not_as_derived(hook, aws_json_server):
    resource, request, _ = NAMED["filter"]
    account = Account(aws_json_server, resource)
    account.hold(PREFIX + "filter/odd", {**request, "name": "odd"})
    account.hold(PREFIX + "filter/0a1b2c3d", request)
    assert hook.create_or_adopt(resource, request) == (PREFIX + "filter/0a1b2c3d", True)


def test_the_same_schema_in_other_white_space_is_adopted(hook, aws_json_server):
    resource, request, arn = NAMED["schema"]
    spread = json.dumps(json.loads(request["schema"]), indent=2, sort_keys=True)
    Account(aws_json_server, resource).hold(arn, {**request, "schema": spread}, None)
    assert hook.create_or_adopt(resource, request) == (arn, True)


DRIFTS = [
    ("datasetGroup", {"domain": "ECOMMERCE"}, 'domain: asked for nothing, found "ECOMMERCE"'),
    ("datasetGroup", {"kmsKeyArn": "arn:aws:kms:k"}, "kmsKeyArn: asked for nothing"),
    (
        "schema",
        {"schema": '{"type":"record","fields":[]}'},
        'schema: asked for {"fields": [{"name": "USER_ID"',
    ),
    ("dataset", {"schemaArn": PREFIX + "schema/v1"}, f'found "{PREFIX}schema/v1"'),
    ("solution", {"recipeArn": "arn:aws:personalize:::recipe/aws-sims"}, "recipeArn: asked for"),
    ("solution", {"eventType": "View"}, 'eventType: asked for "Purchase", found "View"'),
    ("solution", {"performAutoTraining": True}, "performAutoTraining: asked for false, found true"),
    ("solution", {"datasetGroupArn": GROUP + "2"}, "datasetGroupArn: asked for"),
    ("solution", {"solutionConfig": {}}, 'eventValueThreshold: asked for "0.5", found nothing'),
    (
        "solution",
        {
            "solutionConfig": {
                "eventValueThreshold": "0.5",
                "algorithmHyperParameters": {"hidden_dimension": "32"},
            }
        },
        'solutionConfig.algorithmHyperParameters.hidden_dimension: asked for "64", found "32"',
    ),
    ("filter", {"filterExpression": "INCLUDE ItemID WHERE Items.PRICE > 1"}, "filterExpression: asked for"),
    (
        "datasetImportJob",
        {"dataSource": {"dataLocation": "s3://b/x"}},
        'dataLocation: asked for "s3://bucket',
    ),
    ("datasetImportJob", {"importMode": "INCREMENTAL"}, 'asked for "FULL", found "INCREMENTAL"'),
    ("solutionVersion", {"trainingMode": "UPDATE"}, 'trainingMode: asked for "FULL", found "UPDATE"'),
    ("batchInferenceJob", {"filterArn": PREFIX + "filter/f"}, "filterArn: asked for nothing"),
    (
        "batchInferenceJob",
        {"jobOutput": {"s3DataDestination": {"path": "s3://bucket/else/"}}},
        'jobOutput.s3DataDestination.path: asked for "s3://bucket/out/", found "s3://bucket/else/"',
    ),
    (
        "batchInferenceJob",
        {"batchInferenceJobMode": "THEME_GENERATION"},
        'batchInferenceJobMode: asked for "BATCH_INFERENCE", found "THEME_GENERATION"',
    ),
    (
        "campaign",
        {"campaignConfig": {"rankingInfluence": {"POPULARITY": 0.1}}},
        "campaignConfig.rankingInfluence.POPULARITY: asked for 0.5, found 0.1",
    ),
    ("campaign", {"solutionVersionArn": VERSION[:-1] + "e"}, "solutionVersionArn: asked for"),
    ("recommender", {"recipeArn": "arn:aws:personalize:::recipe/aws-ecomm-x"}, "recipeArn: asked for"),
    (
        "recommender",
        {"recommenderConfig": {"minRecommendationRequestsPerSecond": 1}},
        "recommenderConfig.minRecommendationRequestsPerSecond: asked for 2, found 1",
    ),
    ("batchSegmentJob", {"filterArn": PREFIX + "filter/f"}, "filterArn: asked for nothing"),
    ("datasetExportJob", {"ingestionMode": "ALL"}, 'ingestionMode: asked for "PUT", found "ALL"'),
    ("dataDeletionJob", {"dataSource": {"dataLocation": "s3://b/x"}}, 'dataLocation: asked for "s3://bucket'),
    ("batchInferenceJob", {"numResults": 25}, "numResults: asked for 10, found 25"),
]


@pytest.mark.parametrize(("kind", "other", "told"), DRIFTS)
def test_a_difference_is_told_with_both_values_and_nothing_is_created(
    hook, aws_json_server, kind, other, told
):
    resource, request, arn = EVERYTHING[kind]
    account = Account(aws_json_server, resource)
    account.hold(arn, {**request, **other}, None if resource is SCHEMA else "ACTIVE")
    with pytest.raises(PersonalizeFatalError) as raised:
        hook.create_or_adopt(resource, request)
    assert told in str(raised.value)
    assert resource.remedy in str(raised.value)
    assert account.created() == []


def test_each_resource_with_something_to_differ_in_has_a_drift_test():
    assert {kind for kind, _, _ in DRIFTS} == set(EVERYTHING)
    # A group has one of these at most, whatever its name: the operators' tests take them through the local server.
    alone = {each.member for each in RESOURCES if each.one_per_parent}
    assert set(EVERYTHING) | alone == {each.member for each in RESOURCES}


@pytest.mark.parametrize("kind", [kind for kind in NAMED if kind != "schema"])
def test_a_failed_named_resource_is_not_adopted_and_its_reason_is_told(hook, aws_json_server, kind):
    resource, request, arn = NAMED[kind]
    Account(aws_json_server, resource).hold(arn, request, "CREATE_FAILED", failureReason="No access.")
    # The API has no failureReason for these two.
    reason = "the service gave no reason" if kind in {"dataset", "solution"} else "No access"
    with pytest.raises(
        PersonalizeFatalError, match=rf"ended as CREATE_FAILED: {reason}\. Mend the cause, delete this"
    ):
        hook.create_or_adopt(resource, request)


def test_a_resource_in_deletion_is_worth_a_retry(hook, aws_json_server):
    resource, request, arn = NAMED["solution"]
    Account(aws_json_server, resource).hold(arn, request, "DELETE IN_PROGRESS")
    with pytest.raises(PersonalizeRetriableError, match="being deleted"):
        hook.create_or_adopt(resource, request)


@pytest.mark.parametrize("kind", JOBS)
@pytest.mark.parametrize("status", ["CREATE FAILED", "CREATE_FAILED", "CREATE STOPPING", "CREATE STOPPED"])
def test_a_job_that_failed_is_followed_by_the_next_suffix(hook, aws_json_server, kind, status):
    resource, request, arn = JOBS[kind]
    account = Account(aws_json_server, resource)
    name = request[resource.name_member]
    account.hold(arn, {**request, "roleArn": "another"}, status, failureReason="Insufficient data")
    made, adopted = hook.create_or_adopt(resource, request)
    assert (account.held[made][resource.name_member], adopted) == (f"{name}-2", False)


@pytest.mark.parametrize("kind", JOBS)
def test_a_killed_retry_adopts_the_second_job(hook, aws_json_server, kind):
    resource, request, arn = JOBS[kind]
    account = Account(aws_json_server, resource)
    account.hold(arn, request, "CREATE FAILED")
    first = hook.create_or_adopt(resource, request)
    # Suffixed ARNs of the test account are not as derived, except by listing.
    assert hook.create_or_adopt(resource, request) == (first[0], True)
    assert len(account.held) == 2


def test_solution_versions_are_looked_for_newest_first(hook, aws_json_server):
    resource, request, _ = JOBS["solutionVersion"]
    account = Account(aws_json_server, resource)
    for number in range(5):
        account.hold(f"{PREFIX}solution/shop-up/{number:08x}", {**request, "name": f"run-{number}"})
    hook.create_or_adopt(resource, {**request, "name": "run-3"})
    asked = [body["solutionVersionArn"][-1] for body in aws_json_server.requests("DescribeSolutionVersion")]
    assert asked == ["4", "3"]


def test_suffixes_never_exceed_the_length_of_a_name():
    assert suffixed("a" * 63, 1) == "a" * 63
    assert suffixed("a" * 63, 2) == "a" * 61 + "-2"
    assert suffixed("a" * 62, 10) == "a" * 60 + "-10"
    assert suffixed("job", 3) == "job-3"


def test_a_used_name_that_nothing_shows_is_worth_a_retry(hook, aws_json_server):
    aws_json_server.on("CreateDatasetGroup", aws_json_server.refusal("ResourceAlreadyExistsException"))
    aws_json_server.on("ListDatasetGroups", {"datasetGroups": []})
    with pytest.raises(PersonalizeRetriableError, match="'shop' already exists but does not show it"):
        hook.create_or_adopt(DATASET_GROUP, {"name": "shop"})


def test_a_quota_is_named_and_asked_once(hook, aws_json_server):
    resource, request, _ = JOBS["datasetImportJob"]
    refusal = aws_json_server.refusal("LimitExceededException", "More than 5 resources with PENDING status.")
    aws_json_server.on("CreateDatasetImportJob", refusal)
    with pytest.raises(
        PersonalizeRetriableError, match=r"More than 5 .* quota is 5 pending or running import"
    ) as raised:
        hook.create_or_adopt(resource, request)
    assert raised.value.retry_after_seconds == 300
    assert len(aws_json_server.requests("CreateDatasetImportJob")) == 1


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("InvalidInputException", PersonalizeFatalError),
        ("AccessDeniedException", PersonalizeFatalError),
        ("ValidationException", PersonalizeFatalError),
        ("ResourceNotFoundException", PersonalizeFatalError),
        ("ResourceInUseException", PersonalizeRetriableError),
    ],
)
def test_a_refusal_decides_whether_to_retry(hook, aws_json_server, code, expected):
    resource, request, _ = NAMED["filter"]
    aws_json_server.on("CreateFilter", aws_json_server.refusal(code, "Because."))
    with pytest.raises(expected, match=rf"Cannot create filter 'not-bought': {code}: Because\. \w+"):
        hook.create_or_adopt(resource, request)


def test_a_parameter_of_the_wrong_type_is_fatal(hook, aws_json_server):
    with pytest.raises(PersonalizeFatalError, match="Invalid type for parameter name"):
        hook.create_or_adopt(DATASET_GROUP, {"name": 7})


def test_throttling_is_left_to_botocore(hook, aws_json_server):
    aws_json_server.on(
        "CreateDatasetGroup", aws_json_server.refusal("ThrottlingException"), {"datasetGroupArn": GROUP}
    )
    assert hook.create_or_adopt(DATASET_GROUP, {"name": "shop"}) == (GROUP, False)


def test_metrics_are_numbers_by_name(hook, aws_json_server):
    aws_json_server.on("GetSolutionMetrics", {"solutionVersionArn": VERSION, "metrics": {"coverage": 1}})
    assert hook.get_solution_metrics(VERSION) == {"coverage": 1.0}


def test_metrics_of_a_running_training_are_worth_a_retry(hook, aws_json_server):
    aws_json_server.on("GetSolutionMetrics", aws_json_server.refusal("ResourceInUseException"))
    with pytest.raises(PersonalizeRetriableError):
        hook.get_solution_metrics(VERSION)


def test_stopping_names_the_version(hook, aws_json_server):
    aws_json_server.on("StopSolutionVersionCreation", {})
    hook.stop_solution_version_creation(VERSION)
    assert aws_json_server.requests("StopSolutionVersionCreation") == [{"solutionVersionArn": VERSION}]


def test_an_update_without_new_data_fails_once_and_says_what_trains_next(hook, aws_json_server):
    words = "There should be updates to at least one dataset after last active solution version"
    refusal = aws_json_server.refusal("InvalidInputException", words)
    aws_json_server.on("CreateSolutionVersion", refusal)
    resource, request, _ = JOBS["solutionVersion"]
    with pytest.raises(PersonalizeFatalError, match="the next run with new rows trains, or train_full does"):
        hook.create_or_adopt(resource, {**request, "trainingMode": "UPDATE"})
