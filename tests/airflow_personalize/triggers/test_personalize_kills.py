"""Kill deferred waits, and the local Personalize with them: what was started is resumed, and started once."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred
from operator_runs import PushedNowhere, first_event, rebuilt, run

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.operators import (
    PersonalizeCreateDatasetGroupOperator,
    PersonalizeCreateDatasetImportJobOperator,
    PersonalizeCreateDatasetOperator,
    PersonalizeCreateEventTrackerOperator,
    PersonalizeCreateFilterOperator,
    PersonalizeCreateSchemaOperator,
    PersonalizeCreateSolutionOperator,
    PersonalizeCreateSolutionVersionOperator,
    PersonalizeDeleteDatasetGroupOperator,
    PersonalizeStopSolutionVersionCreationOperator,
    PersonalizeUpdateSolutionOperator,
)
from airflow_personalize.resources import (
    DATASET_GROUP,
    DATASET_IMPORT_JOB,
    EVENT_TRACKER,
    FILTER,
    SOLUTION,
    SOLUTION_VERSION,
)
from personalize_local.server import Server
from personalize_local.service import Settings

BUCKET = "personalize-kills"
ROLE = "arn:aws:iam::123456789012:role/personalize"
POPULARITY = "arn:aws:personalize:::recipe/aws-popularity-count"
# A state lasts so long that whatever waits is in the middle of its wait.
LONG_SECONDS = 600.0
SCHEMA = {
    "type": "record",
    "name": "Interactions",
    "namespace": "com.amazonaws.personalize.schema",
    "version": "1.0",
    "fields": [
        {"name": "USER_ID", "type": "string"},
        {"name": "ITEM_ID", "type": "string"},
        {"name": "EVENT_TYPE", "type": "string"},
        {"name": "TIMESTAMP", "type": "long"},
    ],
}
ROWS = "USER_ID,ITEM_ID,EVENT_TYPE,TIMESTAMP\n" + "".join(
    f"u{n % 50},i{n % 7},buy,{1_700_000_000 + n}\n" for n in range(1200)
)


class Stack:
    """One account whose server can be stopped and started again, at another pace."""

    def __init__(self, data: Any, s3_url: str, patch: pytest.MonkeyPatch) -> None:
        self.data, self.s3_url, self.patch = data, s3_url, patch

    @contextmanager
    def serving(self, state_seconds: float) -> Generator[None]:
        with Server(Settings(self.data, "123456789012", state_seconds, 1)) as server:
            endpoints = {
                "personalize": {"endpoint_url": server.url},
                "s3": {"endpoint_url": self.s3_url},
            }
            extra = {"region_name": "eu-west-1", "service_config": endpoints}
            connection = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
            self.patch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
            yield


@pytest.fixture
def stack(tmp_path, s3_url, monkeypatch):
    import boto3

    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_url)
    monkeypatch.setattr("airflow_personalize.hooks.personalize_client.QUICK_LOOK_SECONDS", 0.05)
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="rows.csv", Body=ROWS.encode())
    return Stack(tmp_path, s3_url, monkeypatch)


def build():
    group = run(PersonalizeCreateDatasetGroupOperator, dataset_group_name="shop")
    schema = run(PersonalizeCreateSchemaOperator, schema_name="shop", schema=SCHEMA)
    dataset = run(
        PersonalizeCreateDatasetOperator,
        dataset_name="shop",
        dataset_type="Interactions",
        schema_arn=schema,
        dataset_group_arn=group,
    )
    solution = run(
        PersonalizeCreateSolutionOperator,
        solution_name="shop",
        dataset_group_arn=group,
        recipe_arn=POPULARITY,
    )
    return group, dataset, solution


def deferral(operator_class, **parameters):
    """Execute until the task defers."""
    with pytest.raises(TaskDeferred) as deferred:
        operator_class(task_id="task", waiter_delay=0, **parameters).execute({"ti": PushedNowhere()})
    return deferred.value


async def killed_in_the_middle(trigger, caplog) -> None:
    """Run a trigger until it has polled, then cancel it as a triggerer that ends does."""
    caplog.clear()
    running = asyncio.create_task(first_event(trigger))
    while "Status of" not in caplog.text:
        assert not running.done()
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def resumed(operator_class, parameters, deferred):
    """Run the trigger in another triggerer, and the rest of the task in another worker."""
    event = asyncio.run(first_event(rebuilt(deferred.trigger)))
    operator = operator_class(task_id="task", waiter_delay=0, **parameters)
    return getattr(operator, deferred.method_name)({"ti": PushedNowhere()}, event=event)


def test_each_waiting_stage_survives_a_kill_of_triggerer_and_server(stack, caplog, monkeypatch):
    with stack.serving(0.0):
        group, dataset, solution = build()
        empty = run(PersonalizeCreateDatasetGroupOperator, dataset_group_name="empty")
    stages = [
        (PersonalizeCreateDatasetGroupOperator, {"dataset_group_name": "second"}),
        (
            PersonalizeCreateDatasetImportJobOperator,
            {
                "job_name": "rows",
                "dataset_arn": dataset,
                "data_location": f"s3://{BUCKET}/rows.csv",
                "role_arn": ROLE,
            },
        ),
        (
            PersonalizeCreateFilterOperator,
            {
                "filter_name": "known",
                "dataset_group_arn": group,
                "filter_expression": 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")',
            },
        ),
        (
            PersonalizeCreateEventTrackerOperator,
            {"event_tracker_name": "shop", "dataset_group_arn": group},
        ),
        (
            PersonalizeUpdateSolutionOperator,
            {"solution_arn": solution, "perform_auto_training": True},
        ),
        (PersonalizeDeleteDatasetGroupOperator, {"dataset_group_arn": empty}),
    ]
    caplog.set_level(logging.INFO, logger="airflow.providers.amazon.aws.utils.waiter_with_logging")
    with monkeypatch.context() as patch, stack.serving(LONG_SECONDS):
        patch.setattr("airflow_personalize.hooks.personalize_client.QUICK_LOOKS", 0)
        deferred = [deferral(operator_class, **parameters) for operator_class, parameters in stages]
        for each in deferred:
            asyncio.run(killed_in_the_middle(rebuilt(each.trigger), caplog))
        # A worker that was lost after the call starts again from the top: it adopts, and defers.
        again = [deferral(operator_class, **parameters) for operator_class, parameters in stages]
        assert [each.trigger.serialize() for each in again] == [each.trigger.serialize() for each in deferred]
    with stack.serving(0.0):
        arns = [
            resumed(operator_class, parameters, each)
            for (operator_class, parameters), each in zip(stages, deferred, strict=True)
        ]
        assert arns == [each.trigger.serialize()[1]["arn"] for each in deferred]
        hook = PersonalizeHook()
        assert {each["name"] for each in hook.listed(DATASET_GROUP)} == {"shop", "second"}
        assert len(hook.listed(DATASET_IMPORT_JOB, datasetArn=dataset)) == 1
        assert len(hook.listed(FILTER, datasetGroupArn=group)) == 1
        assert len(hook.listed(EVENT_TRACKER, datasetGroupArn=group)) == 1
        assert hook.describe(SOLUTION, solution)["performAutoTraining"] is True


def test_a_training_is_stopped_by_the_kill_of_its_deferred_task(stack):
    with stack.serving(0.0):
        _, _, solution = build()
    training = {"solution_version_name": "weekly", "solution_arn": solution, "stop_on_kill": True}
    with stack.serving(LONG_SECONDS):
        deferred = deferral(PersonalizeCreateSolutionVersionOperator, **training)
        arn = deferred.trigger.serialize()[1]["arn"]
        asyncio.run(rebuilt(deferred.trigger).on_kill())
        assert PersonalizeHook().describe(SOLUTION_VERSION, arn)["status"] == "CREATE STOPPING"
        # Who waits for a stop that is under way adopts it.
        stopping = deferral_of_a_stop(arn)
    with stack.serving(0.0):
        stopped = resumed(
            PersonalizeStopSolutionVersionCreationOperator, {"solution_version_arn": arn}, stopping
        )
        assert stopped == arn
        assert PersonalizeHook().describe(SOLUTION_VERSION, arn)["status"] == "CREATE STOPPED"
        # The name is used up: the next try of the training takes the next suffix.
        with pytest.raises(TaskDeferred) as next_try:
            PersonalizeCreateSolutionVersionOperator(task_id="task", **training).execute(
                {"ti": PushedNowhere()}
            )
        newer = next_try.value.trigger.serialize()[1]["arn"]
        assert PersonalizeHook().describe(SOLUTION_VERSION, newer)["name"] == "weekly-2"


def deferral_of_a_stop(arn):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow_personalize.hooks.personalize_client.QUICK_LOOKS", 0)
        return deferral(PersonalizeStopSolutionVersionCreationOperator, solution_version_arn=arn)


def test_a_running_training_is_stopped_by_the_operator(stack):
    with stack.serving(0.0):
        _, _, solution = build()
    with stack.serving(LONG_SECONDS):
        training = {"solution_version_name": "weekly", "solution_arn": solution}
        arn = deferral(PersonalizeCreateSolutionVersionOperator, **training).trigger.serialize()[1]["arn"]
        deferral_of_a_stop(arn)
        assert PersonalizeHook().describe(SOLUTION_VERSION, arn)["status"] == "CREATE STOPPING"
