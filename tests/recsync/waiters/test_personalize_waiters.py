"""Every waiter model: which states end it, and how."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources

import pytest
from botocore.exceptions import WaiterError

from recsync.hooks.personalize import PersonalizeHook
from recsync.hooks.personalize_resources import RESOURCES

PENDING = ["CREATE PENDING", "CREATE_PENDING", "CREATE IN_PROGRESS", "CREATE_IN_PROGRESS"]
FAILED = ["CREATE FAILED", "CREATE_FAILED"]
# Waiter: the operation it polls, states it goes on waiting in, states that end it as a failure.
CASES = {
    "dataset_group_active": ("DescribeDatasetGroup", "datasetGroup", PENDING, FAILED),
    "dataset_active": ("DescribeDataset", "dataset", PENDING, FAILED),
    "dataset_import_job_complete": ("DescribeDatasetImportJob", "datasetImportJob", PENDING, FAILED),
    "solution_active": ("DescribeSolution", "solution", PENDING, FAILED),
    "solution_version_complete": (
        "DescribeSolutionVersion",
        "solutionVersion",
        [*PENDING, "CREATE STOPPING", "CREATE_STOPPING"],
        [*FAILED, "CREATE STOPPED", "CREATE_STOPPED"],
    ),
    "filter_active": ("DescribeFilter", "filter", PENDING, FAILED),
    "batch_inference_job_complete": (
        "DescribeBatchInferenceJob",
        "batchInferenceJob",
        [*PENDING, "PENDING", "IN PROGRESS", "IN_PROGRESS"],
        [*FAILED, "FAILED"],
    ),
}
ARN = "arn:aws:personalize:eu-west-1:123456789012:thing/one"


@pytest.fixture(scope="module")
def hook(_aws_json_server) -> Iterator[PersonalizeHook]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_AWS_DEFAULT", _aws_json_server.connection("personalize"))
        # Without botocore's own retries, so that the waiter itself meets what the server refuses.
        hook = PersonalizeHook(config={"retries": {"max_attempts": 0}})
        assert hook.conn_region_name == "eu-west-1"
        yield hook


def wait(hook, name, polls):
    member = CASES[name][1]
    hook.get_waiter(name).wait(**{f"{member}Arn": ARN}, WaiterConfig={"Delay": 0, "MaxAttempts": polls})


def replies(name, *statuses):
    member = CASES[name][1]
    return [{member: {f"{member}Arn": ARN, "status": status}} for status in statuses]


def test_every_waiter_has_a_case_and_a_resource():
    text = resources.files("recsync.waiters").joinpath("personalize.json").read_text()
    assert set(json.loads(text)["waiters"]) == set(CASES)
    assert {each.waiter for each in RESOURCES if each.waiter} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_pending_states_are_waited_through_until_active(hook, aws_json_server, name):
    operation, _, pending, _ = CASES[name]
    throttled = aws_json_server.refusal("ThrottlingException", status=400)
    aws_json_server.on(operation, *replies(name, *pending, "ACTIVE"))
    wait(hook, name, len(pending) + 1)
    aws_json_server.on(operation, throttled, *replies(name, "ACTIVE"))
    wait(hook, name, 2)
    assert aws_json_server.calls[-1][0] == operation


@pytest.mark.parametrize(
    ("name", "status"), [(name, status) for name, case in CASES.items() for status in case[3]]
)
def test_failed_states_end_the_wait(hook, aws_json_server, name, status):
    aws_json_server.on(CASES[name][0], *replies(name, status))
    with pytest.raises(WaiterError, match="terminal failure"):
        wait(hook, name, 3)
    assert len(aws_json_server.calls) == 1


@pytest.mark.parametrize(
    ("name", "status"), [(name, status) for name, case in CASES.items() for status in case[2]]
)
def test_pending_states_alone_never_succeed(hook, aws_json_server, name, status):
    aws_json_server.on(CASES[name][0], *replies(name, status))
    with pytest.raises(WaiterError, match="Max attempts"):
        wait(hook, name, 1)


@pytest.mark.parametrize("name", CASES)
def test_a_refused_poll_ends_the_wait(hook, aws_json_server, name):
    aws_json_server.on(CASES[name][0], aws_json_server.refusal("AccessDeniedException", "Not yours."))
    with pytest.raises(WaiterError, match="Not yours"):
        wait(hook, name, 3)
