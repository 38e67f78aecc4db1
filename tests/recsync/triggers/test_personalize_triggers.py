"""Triggers of Amazon Personalize: what travels to the triggerer, and which event comes back."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from airflow.sdk.module_loading import import_string

from recsync.hooks.personalize_resources import RESOURCES
from recsync.triggers import personalize as module
from recsync.triggers.personalize import (
    PersonalizeBaseTrigger,
    PersonalizeDatasetImportJobCompletedTrigger,
    PersonalizeSolutionVersionCompletedTrigger,
)

ARN = "arn:aws:personalize:eu-west-1:123456789012:thing/one"
TRIGGERS = [
    each
    for _, each in inspect.getmembers(module, inspect.isclass)
    if issubclass(each, PersonalizeBaseTrigger) and each is not PersonalizeBaseTrigger
]
QUICK = {"waiter_delay": 0, "waiter_max_attempts": 5}
NO_RETRIES = {"retries": {"max_attempts": 0}}


def run(trigger):
    """Round-trip the trigger as the triggerer does, and return its one event."""
    path, parameters = trigger.serialize()

    async def events():
        return [event async for event in import_string(path)(**parameters).run()]

    (event,) = asyncio.run(events())
    return event.payload


def described(resource, status, **more):
    return {resource.member: {resource.arn_member: ARN, "status": status, **more}}


def api(resource):
    return f"Describe{resource.member[0].upper()}{resource.member[1:]}"


def test_every_awaited_resource_has_one_trigger():
    awaited = sorted(resource.member for resource in RESOURCES if resource.waiter)
    assert sorted(trigger.resource.member for trigger in TRIGGERS) == awaited


@pytest.mark.parametrize("trigger_class", TRIGGERS)
def test_serialisation_keeps_every_parameter(trigger_class):
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
    path, serialized = trigger_class(**parameters, **extra).serialize()
    assert path == f"recsync.triggers.personalize.{trigger_class.__name__}"
    assert serialized == parameters | extra
    assert import_string(path)(**serialized).serialize() == (path, serialized)


@pytest.mark.parametrize("trigger_class", TRIGGERS)
def test_polls_cover_the_resource_s_patience_by_default(trigger_class):
    trigger = trigger_class(arn=ARN, waiter_delay=60)
    assert trigger.attempts * 60 == trigger_class.resource.patience_seconds


@pytest.mark.parametrize("trigger_class", TRIGGERS)
def test_success_carries_the_arn(personalize, trigger_class):
    resource = trigger_class.resource
    personalize.on(api(resource), described(resource, "CREATE PENDING"), described(resource, "ACTIVE"))
    assert run(trigger_class(arn=ARN, **QUICK)) == {"status": "success", "arn": ARN}
    assert personalize.requests(api(resource)) == [{resource.arn_member: ARN}] * 2


@pytest.mark.parametrize("trigger_class", TRIGGERS)
def test_failure_carries_status_reason_and_advice(personalize, trigger_class):
    resource = trigger_class.resource
    personalize.on(api(resource), described(resource, "CREATE FAILED", failureReason="Fewer than 25 users."))
    event = run(trigger_class(arn=ARN, **QUICK))
    reason = "Fewer than 25 users" if resource.member not in {"dataset", "solution"} else "no reason"
    assert (event["status"], event["arn"], event["fatal"]) == ("error", ARN, False)
    assert f"{resource.noun} {ARN} ended as CREATE FAILED:" in event["message"]
    assert reason in event["message"]
    assert "Mend the cause" in event["message"]


def import_job(**parameters):
    return PersonalizeDatasetImportJobCompletedTrigger(arn=ARN, botocore_config=NO_RETRIES, **parameters)


def test_throttled_polls_are_repeated(personalize):
    throttled = personalize.refusal("ThrottlingException")
    active = described(PersonalizeDatasetImportJobCompletedTrigger.resource, "ACTIVE")
    personalize.on("DescribeDatasetImportJob", throttled, throttled, active)
    assert run(import_job(**QUICK))["status"] == "success"


def test_used_up_polls_are_worth_a_retry(personalize):
    pending = described(PersonalizeDatasetImportJobCompletedTrigger.resource, "CREATE IN_PROGRESS")
    personalize.on("DescribeDatasetImportJob", pending)
    event = run(import_job(**QUICK))
    assert (event["status"], event["fatal"]) == ("error", False)
    assert "waits for it again" in event["message"]
    assert len(personalize.calls) == 5


def test_a_refused_poll_is_fatal(personalize):
    personalize.on("DescribeDatasetImportJob", personalize.refusal("AccessDeniedException", "Not yours."))
    event = run(import_job(**QUICK))
    assert (event["status"], event["fatal"]) == ("error", True)
    assert "Not yours." in event["message"]


def test_a_lost_connection_is_worth_a_retry(personalize, monkeypatch):
    nobody = personalize.connection("personalize").replace(personalize.url, "http://127.0.0.1:9")
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", nobody)
    event = run(import_job(**QUICK))
    assert (event["status"], event["fatal"]) == ("error", False)
    assert "Lost sight of dataset import job" in event["message"]


@pytest.mark.parametrize("stop_on_kill", [True, False])
def test_a_killed_training_is_stopped_only_when_asked(personalize, stop_on_kill):
    personalize.on("StopSolutionVersionCreation", {})
    trigger = PersonalizeSolutionVersionCompletedTrigger(arn=ARN, stop_on_kill=stop_on_kill)
    asyncio.run(trigger.on_kill())
    expected = [{"solutionVersionArn": ARN}] if stop_on_kill else []
    assert personalize.requests("StopSolutionVersionCreation") == expected


def test_a_training_that_ended_before_the_kill_is_no_error(personalize):
    personalize.on("StopSolutionVersionCreation", personalize.refusal("ResourceInUseException"))
    asyncio.run(PersonalizeSolutionVersionCompletedTrigger(arn=ARN, stop_on_kill=True).on_kill())
    assert len(personalize.calls) == 1
