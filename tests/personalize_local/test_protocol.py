"""AWS JSON 1.1 as raw HTTP: routing, errors, and what the server checks that boto3 does not."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import boto3
import pytest

SCOPE = "AWS4-HMAC-SHA256 Credential=test/20261122/eu-west-1/personalize/aws4_request, SignedHeaders=host"


def post(url: str, target: str | None, body: bytes, **headers: str) -> tuple[int, Any, dict[str, Any]]:
    request = urllib.request.Request(url, body, {"Content-Type": "application/x-amz-json-1.1", **headers})
    if target is not None:
        request.add_header("X-Amz-Target", target)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.headers, json.loads(reply.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.loads(error.read())


def test_health_answers_json(fast_server: Any) -> None:
    with urllib.request.urlopen(f"{fast_server.url}/health", timeout=10) as reply:
        assert (reply.status, json.loads(reply.read())["status"]) == (200, "ok")


def test_region_comes_from_the_credential_scope(fast_server: Any) -> None:
    body = json.dumps({"name": "scope", "tags": None}).encode()
    target = "AmazonPersonalize.CreateDatasetGroup"
    status, headers, reply = post(fast_server.url, target, body, Authorization=SCOPE)
    assert (status, headers["Content-Type"]) == (200, "application/x-amz-json-1.1")
    assert reply == {"datasetGroupArn": "arn:aws:personalize:eu-west-1:000000000000:dataset-group/scope"}
    assert headers["x-amzn-RequestId"]


def test_timestamps_are_epoch_seconds_with_a_fraction(fast_server: Any) -> None:
    _, _, reply = post(fast_server.url, "AmazonPersonalize.ListRecipes", b"{}", Authorization=SCOPE)
    assert isinstance(reply["recipes"][0]["creationDateTime"], float)


@pytest.mark.parametrize(
    ("target", "body", "status", "code"),
    [
        ("AmazonPersonalize.NoSuchThing", b"{}", 400, "UnknownOperationException"),
        ("DynamoDB.ListTables", b"{}", 400, "UnknownOperationException"),
        (None, b"{}", 400, "UnknownOperationException"),
        ("AmazonPersonalize.ListRecipes", b"{no json", 400, "SerializationException"),
        ("AmazonPersonalize.ListRecipes", b"[]", 400, "SerializationException"),
        ("AmazonPersonalize.DescribeSolution", b"{}", 400, "InvalidInputException"),
        ("AmazonPersonalize.DescribeSolution", b'{"solutionArn": 5}', 400, "InvalidInputException"),
        ("AmazonPersonalize.ListSolutions", b'{"maxResults": 0}', 400, "InvalidInputException"),
        ("AmazonPersonalize.CreateCampaign", b'{"name": "c", "solutionVersionArn": "a"}', 400, None),
    ],
)
def test_what_cannot_be_served_gets_an_aws_error(
    fast_server: Any, target: str | None, body: bytes, status: int, code: str | None
) -> None:
    got_status, headers, reply = post(fast_server.url, target, body)
    assert got_status == status
    assert set(reply) == {"__type", "message"}
    assert reply["__type"] == (code or "InvalidInputException")
    assert headers["x-amzn-RequestId"]


@pytest.mark.parametrize(
    ("service", "operation", "params"),
    [
        ("personalize-runtime", "get_recommendations", {"campaignArn": "arn:aws:personalize:x:1:campaign/c"}),
        ("personalize-events", "put_items", {"datasetArn": "arn:aws:personalize:x:1:dataset/d", "items": []}),
    ],
)
def test_one_server_answers_for_all_three_services(
    fast_server: Any, refused: Callable[..., Any], service: str, operation: str, params: dict[str, Any]
) -> None:
    client = boto3.client(service, endpoint_url=fast_server.url, region_name="us-east-1")
    if operation == "put_items":
        params = {**params, "items": [{"itemId": "i1"}]}
    error = refused(getattr(client, operation), **params)
    assert (error.code, error.http_status) == ("ResourceNotFoundException", 404)


GROUP = "arn:aws:personalize:us-east-1:000000000000:dataset-group/g"


@pytest.mark.parametrize(
    ("operation", "params", "constraint"),
    [
        ("create_dataset_group", {"name": "bad name!"}, "regular expression pattern"),
        ("create_dataset_group", {"name": "x" * 64}, "less than or equal to 63"),
        ("create_dataset_group", {"name": "-x"}, "regular expression pattern"),
        ("create_dataset_group", {"name": "x", "domain": "GROCERY"}, "enum value set: [ECOMMERCE"),
        ("create_dataset_group", {"name": "x", "roleArn": "arn:aws:iam::12:role/r"}, "at 'roleArn'"),
        ("create_dataset_group", {"name": "x", "tags": [{"tagKey": "a\u2028\n!", "tagValue": ""}]}, "tagKey"),
        ("list_dataset_groups", {"maxResults": 101}, "less than or equal to 100"),
        ("describe_dataset_group", {"datasetGroupArn": "dataset-group/g"}, "regular expression pattern"),
        (
            "create_solution_version",
            {"solutionArn": GROUP, "trainingMode": "NOPE"},
            "[FULL, UPDATE, AUTOTRAIN]",
        ),
        (
            "create_dataset",
            {"name": "d", "schemaArn": GROUP, "datasetGroupArn": GROUP, "datasetType": "no-type"},
            "datasetType",
        ),
        (
            "create_solution",
            {
                "name": "s",
                "datasetGroupArn": GROUP,
                "solutionConfig": {"autoTrainingConfig": {"schedulingExpression": "cron(1 day)"}},
            },
            "solutionConfig.autoTrainingConfig.schedulingExpression",
        ),
    ],
)
def test_constraints_that_boto3_does_not_check(
    world: Any, refused: Callable[..., Any], operation: str, params: dict[str, Any], constraint: str
) -> None:
    error = refused(getattr(world.personalize, operation), **params)
    assert (error.code, error.http_status) == ("InvalidInputException", 400)
    assert constraint in error.message
