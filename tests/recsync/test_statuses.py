"""Contract: whoever reads a status of Amazon Personalize takes each status of each resource for the same."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import WaiterError
from moto.server import ThreadedMotoServer

from airflow_personalize.errors import PersonalizeFatalError
from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resource import Resource, State, ready, state_of
from airflow_personalize.resources import (
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
    CAMPAIGN,
    DATA_DELETION_JOB,
    DATASET_IMPORT_JOB,
    RESOURCES,
    SOLUTION,
    SOLUTION_VERSION,
)
from recsync.context import StageContext
from recsync.costs.usage import billed
from recsync.imports.dataset_state import DatasetState
from recsync.imports.plans import ImportJob, PendingImports, UpdatePlan
from recsync.imports.store import ImportStore, import_state, reconcile
from recsync.maintain.resources import PersonalizeAccount
from recsync.program import DatasetType
from recsync.training.store import running_jobs

PENDING, READY, FAILED, GONE = State
MADE = {"CREATE PENDING": PENDING, "CREATE IN_PROGRESS": PENDING, "ACTIVE": READY, "CREATE FAILED": FAILED}
DELETED = {"DELETE PENDING": GONE, "DELETE IN_PROGRESS": GONE, "DELETE FAILED": FAILED}
SHORT = {"PENDING": PENDING, "IN PROGRESS": PENDING, "FAILED": FAILED}
# Of each resource, the statuses that its page in the API reference names, and those that were seen.
STATUSES: dict[str, dict[str, State]] = {
    "datasetImportJob": MADE,
    "datasetExportJob": MADE,
    "dataDeletionJob": {**SHORT, "COMPLETED": READY},
    "solutionVersion": {**MADE, **DELETED, "CREATE STOPPING": PENDING, "CREATE STOPPED": FAILED},
    "batchInferenceJob": {**MADE, **SHORT},
    "batchSegmentJob": {**MADE, **SHORT},
}
UNKNOWN = "ARCHIVED"
CASES = [
    (resource, spelt, state)
    for resource in RESOURCES
    if resource.waiter
    for status, state in {**STATUSES.get(resource.member, {**MADE, **DELETED}), UNKNOWN: PENDING}.items()
    for spelt in dict.fromkeys((status, status.replace(" ", "_"), status.replace("_", " ")))
]
PREFIX = "arn:aws:personalize:eu-west-1:123456789012:"
GROUP = f"{PREFIX}dataset-group/shop"
SOLUTION_ARN = f"{PREFIX}solution/shop-user-personalization"


def of(*resources: Resource) -> Any:
    cases = [case for case in CASES if case[0] in resources]
    return pytest.mark.parametrize(
        ("resource", "status", "state"), cases, ids=[f"{r.member}-{status}" for r, status, _ in cases]
    )


def arn_of(resource: Resource) -> str:
    return f"{SOLUTION_ARN}/0a1b2c3d" if resource is SOLUTION_VERSION else f"{PREFIX}{resource.operation}/one"


def description(resource: Resource, status: str) -> dict[str, Any]:
    return {
        resource.arn_member: arn_of(resource),
        resource.name_member: "one",
        "status": status,
        "creationDateTime": 1_700_000_000,
        "lastUpdatedDateTime": 1_700_000_000,
        "solutionVersionArn": arn_of(SOLUTION_VERSION),
    }


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def context(personalize: Any, s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StageContext:
    """A program whose dataset group, with one solution, is in the scripted account."""
    for name in ("programs", "sql/shop", "schemas/shop"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "programs/shop.yaml").write_text("braze: {attribute: recs}\n")
    for query in ("interactions", "audience", "catalogue"):
        (tmp_path / f"sql/shop/{query}.sql").write_text("SELECT 1")
    fields = [{"name": name, "type": "string"} for name in ("USER_ID", "ITEM_ID")]
    schema = {
        "type": "record",
        "name": "Interactions",
        "namespace": "com.amazonaws.personalize.schema",
        "version": "1.0",
        "fields": [*fields, {"name": "TIMESTAMP", "type": "long"}],
    }
    (tmp_path / "schemas/shop/interactions.json").write_text(json.dumps(schema))
    endpoints = {"personalize": {"endpoint_url": personalize.url}, "s3": {"endpoint_url": s3_url}}
    extra = {"region_name": "us-east-1", "service_config": endpoints}
    connection = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__RECSYNC__INCLUDE_FOLDER", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__RECSYNC__BUCKET", "statuses")
    monkeypatch.setattr("airflow_personalize.hooks.personalize_client.QUICK_LOOK_SECONDS", 0.0)
    found = StageContext.of("shop")
    found.bucket.client.create_bucket(Bucket="statuses")
    for name in found.bucket.keys("shop/"):
        found.bucket.delete(name)
    group = {"name": "shop", "datasetGroupArn": GROUP, "creationDateTime": 1_700_000_000}
    personalize.on("ListDatasetGroups", {"datasetGroups": [group]})
    solution = {**description(SOLUTION, "ACTIVE"), "solutionArn": SOLUTION_ARN}
    personalize.on("ListSolutions", {"solutions": [solution]})
    for listed in (SOLUTION_VERSION, DATA_DELETION_JOB, BATCH_INFERENCE_JOB, BATCH_SEGMENT_JOB, CAMPAIGN):
        personalize.on(operation("List", listed), {listed.listing: []})
    return found


def operation(verb: str, resource: Resource) -> str:
    noun = f"{resource.member[0].upper()}{resource.member[1:]}"
    return f"{verb}{noun}s" if verb == "List" else f"{verb}{noun}"


def test_the_reader_itself() -> None:
    assert [case for case in CASES if state_of({"status": case[1]}) is not case[2]] == []


def test_a_schema_has_no_status_and_a_recommender_can_be_inactive() -> None:
    assert state_of({}) is READY
    recommender = {
        "STOP PENDING": PENDING,
        "STOP_IN_PROGRESS": PENDING,
        "INACTIVE": READY,
        "START PENDING": PENDING,
    }
    assert {status: state_of({"status": status}) for status in recommender} == recommender


def test_an_unknown_status_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert state_of({"status": "TELEPORTED"}) is PENDING
    assert "'TELEPORTED', which recsync does not know: it counts as under way" in caplog.text


@pytest.mark.parametrize(
    "resource", [each for each in RESOURCES if each.waiter], ids=lambda each: each.member
)
def test_a_look_and_a_wait_end_alike(personalize: Any, context: StageContext, resource: Resource) -> None:
    hook, wait, arn = PersonalizeHook(), ready(resource), arn_of(resource)
    waiter = hook.get_waiter(wait.waiter)

    def waited() -> State:
        try:
            waiter.wait(**{resource.arn_member: arn}, WaiterConfig={"Delay": 0, "MaxAttempts": 1})
        except WaiterError as error:
            return FAILED if "terminal failure" in str(error) else PENDING
        return READY

    def looked() -> State:
        try:
            return READY if hook.has_ended_well(wait, arn) else PENDING
        except PersonalizeFatalError:
            return FAILED

    for status, state in ((status, state) for each, status, state in CASES if each is resource):
        personalize.on(operation("Describe", resource), {resource.member: description(resource, status)})
        expected = FAILED if state is GONE else state
        assert (status, waited(), looked()) == (status, expected, expected)
        assert hook.has_ended(wait, arn) is hook.ends_soon(wait, arn) is (state is READY)


@of(SOLUTION_VERSION, DATA_DELETION_JOB)
def test_the_lock_waits_for_what_is_pending_only(
    personalize: Any, context: StageContext, resource: Resource, status: str, state: State
) -> None:
    personalize.on(operation("List", resource), {resource.listing: [description(resource, status)]})
    found = running_jobs(context)
    assert bool(found) is (state is PENDING)
    assert all(arn_of(resource) in each and status.replace("_", " ") in each for each in found)


@of(DATASET_IMPORT_JOB)
def test_a_pending_import_is_waited_for_and_a_failed_one_is_not(
    personalize: Any, context: StageContext, resource: Resource, status: str, state: State
) -> None:
    personalize.on("ListDatasetImportJobs", {resource.listing: [description(resource, status)]})
    dataset = f"{PREFIX}dataset/shop/INTERACTIONS"
    assert import_state(context, dataset, "one") == (None if state is FAILED else state)
    kind = DatasetType.INTERACTIONS
    plan = UpdatePlan("r", "", "", {}, {}, {kind: ()}, {})
    pending = PendingImports(plan, {kind: ImportJob("one", dataset)}, {}, {})
    context.store(ImportStore).change(lambda _: DatasetState(pending_imports=pending))
    assert reconcile(context) == (["one"] if state is PENDING else [])
    assert bool(running_jobs(context)) is (state is PENDING)
    assert (context.store(ImportStore).read().pending_imports is None) is (state is not PENDING)


@of(SOLUTION, SOLUTION_VERSION)
def test_clean_up_leaves_what_changes_by_itself_and_retries_a_deletion_that_failed(
    personalize: Any, context: StageContext, resource: Resource, status: str, state: State
) -> None:
    found = {**description(resource, status), "solutionArn": SOLUTION_ARN}
    personalize.on(operation("List", resource), {resource.listing: [found]})
    solutions = PersonalizeAccount(context.program, PersonalizeHook()).solutions
    if resource is SOLUTION and state is GONE:
        assert solutions == []
    else:
        assert [bool(each.busy) for each in solutions] == [state is PENDING]


@of(BATCH_INFERENCE_JOB, BATCH_SEGMENT_JOB)
def test_clean_up_leaves_the_solution_that_a_pending_job_reads(
    personalize: Any, context: StageContext, resource: Resource, status: str, state: State
) -> None:
    personalize.on(operation("List", resource), {resource.listing: [description(resource, status)]})
    used = PersonalizeAccount(context.program, PersonalizeHook()).used_solutions()
    assert (SOLUTION_ARN in used) is (state is PENDING)


def test_what_is_ready_and_a_training_that_was_stopped_are_billed() -> None:
    for resource, status, state in CASES:
        stopped = status.replace("_", " ") == "CREATE STOPPED"
        assert billed(description(resource, status)) is (state is READY or stopped), status
