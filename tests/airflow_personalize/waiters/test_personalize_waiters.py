"""Every waiter model: which states end it, and how."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from importlib import resources
from typing import NamedTuple

import pytest
from botocore.exceptions import WaiterError

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resources import RESOURCES
from airflow_personalize.triggers import personalize

PENDING = ["CREATE PENDING", "CREATE_PENDING", "CREATE IN_PROGRESS", "CREATE_IN_PROGRESS"]
FAILED = ["CREATE FAILED", "CREATE_FAILED"]
BATCH_PENDING = [*PENDING, "PENDING", "IN PROGRESS", "IN_PROGRESS"]
DELETING = ["ACTIVE", "DELETE PENDING", "DELETE_PENDING", "DELETE IN_PROGRESS", "DELETE_IN_PROGRESS"]
STARTING, STOPPING = (
    [f"{verb} PENDING", f"{verb} IN_PROGRESS", f"{verb} IN PROGRESS"] for verb in ("START", "STOP")
)
UPDATE_FAILED = [*FAILED, "UPDATE FAILED", "UPDATE_FAILED"]
GONE = "gone"  # the service no longer knows the resource


class Case(NamedTuple):
    """A waiter: where its status is, what it waits through, what ends it well and badly."""

    path: str
    pending: list[str]
    failed: list[str] = FAILED
    good: tuple[str, ...] = ("ACTIVE",)

    @property
    def member(self) -> str:
        return self.path.split(".")[0]

    @property
    def operation(self) -> str:
        return f"Describe{self.member[0].upper()}{self.member[1:]}"


def deleted(member: str, *, status: bool = True) -> Case:
    return Case(
        member, DELETING if status else [""], ["DELETE FAILED", "DELETE_FAILED"] if status else [], (GONE,)
    )


CASES = {
    "dataset_group_active": Case("datasetGroup", PENDING),
    "dataset_active": Case("dataset", PENDING),
    "dataset_import_job_complete": Case("datasetImportJob", PENDING),
    "dataset_export_job_complete": Case("datasetExportJob", PENDING),
    "data_deletion_job_complete": Case(
        "dataDeletionJob", ["PENDING", "IN_PROGRESS", "IN PROGRESS"], [*FAILED, "FAILED"], ("COMPLETED",)
    ),
    "solution_active": Case("solution", PENDING),
    "solution_version_complete": Case(
        "solutionVersion",
        [*PENDING, "CREATE STOPPING", "CREATE_STOPPING"],
        [*FAILED, "CREATE STOPPED", "CREATE_STOPPED"],
    ),
    "filter_active": Case("filter", PENDING),
    "batch_inference_job_complete": Case("batchInferenceJob", BATCH_PENDING, [*FAILED, "FAILED"]),
    "batch_segment_job_complete": Case("batchSegmentJob", BATCH_PENDING, [*FAILED, "FAILED"]),
    "campaign_active": Case("campaign", PENDING),
    "event_tracker_active": Case("eventTracker", PENDING),
    "metric_attribution_active": Case("metricAttribution", PENDING),
    "dataset_updated": Case("dataset.latestDatasetUpdate", PENDING, UPDATE_FAILED),
    "solution_updated": Case("solution.latestSolutionUpdate", PENDING, UPDATE_FAILED),
    "campaign_updated": Case("campaign.latestCampaignUpdate", PENDING, UPDATE_FAILED),
    "recommender_active": Case("recommender", PENDING, good=("ACTIVE", "INACTIVE")),
    "recommender_started": Case("recommender", [*PENDING, *STOPPING, "INACTIVE", *STARTING]),
    "recommender_stopped": Case("recommender", ["ACTIVE", *STARTING, *STOPPING], good=("INACTIVE",)),
    "recommender_updated": Case("recommender.latestRecommenderUpdate", PENDING, UPDATE_FAILED),
    "solution_version_stopped": Case(
        "solutionVersion",
        [*PENDING, "CREATE STOPPING", "CREATE_STOPPING"],
        [],
        ("CREATE STOPPED", "CREATE_STOPPED", "ACTIVE", *FAILED),
    ),
    "dataset_group_deleted": deleted("datasetGroup"),
    "schema_deleted": deleted("schema", status=False),
    "dataset_deleted": deleted("dataset"),
    "solution_deleted": deleted("solution"),
    "filter_deleted": deleted("filter"),
    "campaign_deleted": deleted("campaign"),
    "event_tracker_deleted": deleted("eventTracker"),
    "metric_attribution_deleted": deleted("metricAttribution"),
    "recommender_deleted": deleted("recommender"),
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
    arn = {f"{CASES[name].member}Arn": ARN}
    hook.get_waiter(name).wait(**arn, WaiterConfig={"Delay": 0, "MaxAttempts": polls})


def reply(server, name, status):
    """Describe the resource with a status at the place the waiter looks at; ACTIVE everywhere else."""
    if status == GONE:
        return server.refusal("ResourceNotFoundException", "There is no such resource.")
    member, _, below = CASES[name].path.partition(".")
    arn = {f"{member}Arn": ARN}
    if below:
        return {member: {**arn, "status": "ACTIVE", below: {"status": status}}}
    return {member: {**arn, **({"status": status} if status else {})}}


def serve(server, name, *statuses):
    server.on(CASES[name].operation, *(reply(server, name, status) for status in statuses))


def each_status(choose):
    return [(name, status) for name, case in CASES.items() for status in choose(case)]


def test_every_waiter_has_a_case():
    text = resources.files("airflow_personalize.waiters").joinpath("personalize.json").read_text()
    models = json.loads(text)["waiters"]
    assert set(models) == set(CASES)
    assert {name: model["operation"] for name, model in models.items()} == {
        name: case.operation for name, case in CASES.items()
    }


def test_every_waiter_is_waited_for_by_a_trigger():
    triggers = [each for _, each in inspect.getmembers(personalize, inspect.isclass) if hasattr(each, "wait")]
    assert {each.wait.waiter for each in triggers} == set(CASES)
    # Where a trigger looks for the status that it logs is where its waiter looks.
    assert {(each.wait.waiter, each.wait.path) for each in triggers} == {
        (name, case.path) for name, case in CASES.items()
    }
    for resource in RESOURCES:
        assert resource.waiter is None or resource.waiter in CASES


@pytest.mark.parametrize("name", CASES)
def test_pending_states_are_waited_through_until_the_end(hook, aws_json_server, name):
    case = CASES[name]
    serve(aws_json_server, name, *case.pending, case.good[0])
    wait(hook, name, len(case.pending) + 1)
    throttled = aws_json_server.refusal("ThrottlingException", status=400)
    aws_json_server.on(case.operation, throttled, reply(aws_json_server, name, case.good[0]))
    wait(hook, name, 2)
    assert aws_json_server.calls[-1][0] == case.operation


@pytest.mark.parametrize(("name", "status"), each_status(lambda case: case.good))
def test_good_states_end_the_wait(hook, aws_json_server, name, status):
    serve(aws_json_server, name, status)
    wait(hook, name, 1)
    assert len(aws_json_server.calls) == 1


@pytest.mark.parametrize(("name", "status"), each_status(lambda case: case.failed))
def test_failed_states_end_the_wait(hook, aws_json_server, name, status):
    serve(aws_json_server, name, status)
    with pytest.raises(WaiterError, match="terminal failure"):
        wait(hook, name, 3)
    assert len(aws_json_server.calls) == 1


@pytest.mark.parametrize(("name", "status"), each_status(lambda case: case.pending))
def test_pending_states_alone_never_succeed(hook, aws_json_server, name, status):
    serve(aws_json_server, name, status)
    with pytest.raises(WaiterError, match="Max attempts"):
        wait(hook, name, 1)


@pytest.mark.parametrize("name", CASES)
def test_a_refused_poll_ends_the_wait(hook, aws_json_server, name):
    refusal = aws_json_server.refusal("AccessDeniedException", "Not yours.")
    aws_json_server.on(CASES[name].operation, refusal)
    with pytest.raises(WaiterError, match="Not yours"):
        wait(hook, name, 3)
