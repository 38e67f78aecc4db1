"""Await Amazon Personalize resources in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from airflow.providers.amazon.aws.triggers.base import AwsBaseWaiterTrigger
from airflow.providers.common.compat.sdk import AirflowException
from airflow.triggers.base import TriggerEvent
from botocore.exceptions import BotoCoreError, ClientError

from recsync.errors import FatalError
from recsync.hooks.personalize import PersonalizeHook
from recsync.hooks.personalize_errors import wait_error
from recsync.hooks.personalize_resources import (
    BATCH_INFERENCE_JOB,
    DATASET,
    DATASET_GROUP,
    DATASET_IMPORT_JOB,
    FILTER,
    SOLUTION,
    SOLUTION_VERSION,
    Resource,
)


class PersonalizeBaseTrigger(AwsBaseWaiterTrigger):
    """Yield one event when a resource is ACTIVE, has failed, or can no longer be watched.

    The event holds everything the task needs, ``status`` (``success`` or ``error``), ``arn``, and on error
    ``message`` and ``fatal``: what goes by ``defer(kwargs=…)`` is lost in ``dag.test()``.

    :param arn: what to await.
    :param waiter_delay: seconds between polls.
    :param waiter_max_attempts: number of polls before giving up; the resource is not touched by that.
    :param aws_conn_id: The Airflow connection used for AWS credentials.
    :param region_name: The AWS region where the resources to watch are.
    :param verify: Whether or not to verify SSL certificates.
    :param botocore_config: Configuration dictionary (key-values) for botocore client.
    """

    aws_hook_class = PersonalizeHook
    resource: ClassVar[Resource]

    def __init__(
        self,
        *,
        arn: str,
        waiter_delay: int = 60,
        waiter_max_attempts: int | None = None,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        noun = self.resource.noun
        super().__init__(
            serialized_fields={"arn": arn},
            waiter_name=self.resource.waiter or "",
            waiter_args={self.resource.arn_member: arn},
            failure_message=f"{noun} {arn} failed",
            status_message=f"Status of {noun} {arn}",
            status_queries=self.resource.status_queries,
            return_key="arn",
            return_value=arn,
            waiter_delay=waiter_delay,
            waiter_max_attempts=waiter_max_attempts or self.resource.polls(waiter_delay),
            aws_conn_id=aws_conn_id,
            region_name=region_name,
            verify=verify,
            botocore_config=botocore_config,
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait as the base class does, but sleep first, and report a lost connection as an event too.

        The operator looked just before it deferred. And an event that is back before the scheduler has noted the
        deferral makes the scheduler take the task for killed and try it again.
        """
        await asyncio.sleep(self.waiter_delay)
        try:
            async for event in super().run():
                yield event
        except (BotoCoreError, ClientError) as error:
            yield self._event_from_exception(error)

    def _event_from_exception(self, error: AirflowException | BotoCoreError | ClientError) -> TriggerEvent:
        problem = wait_error(self.resource, self.return_value, error)
        payload = {
            "status": "error",
            "arn": self.return_value,
            "message": str(problem),
            "fatal": isinstance(problem, FatalError),
        }
        return TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow leaves it untyped


class PersonalizeDatasetGroupActiveTrigger(PersonalizeBaseTrigger):
    """Await a dataset group."""

    resource = DATASET_GROUP


class PersonalizeDatasetActiveTrigger(PersonalizeBaseTrigger):
    """Await a dataset."""

    resource = DATASET


class PersonalizeDatasetImportJobCompletedTrigger(PersonalizeBaseTrigger):
    """Await the end of a dataset import job."""

    resource = DATASET_IMPORT_JOB


class PersonalizeSolutionActiveTrigger(PersonalizeBaseTrigger):
    """Await a solution."""

    resource = SOLUTION


class PersonalizeSolutionVersionCompletedTrigger(PersonalizeBaseTrigger):
    """Await the end of a training.

    :param stop_on_kill: stop the training when a person fails or clears the deferred task; a restart of the
        triggerer does not count. Default False.
    """

    resource = SOLUTION_VERSION

    def __init__(self, *, stop_on_kill: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stop_on_kill = stop_on_kill
        self.serialized_fields["stop_on_kill"] = stop_on_kill

    async def on_kill(self) -> None:
        """Stop the training if this task asked for that."""
        if not self.stop_on_kill:
            return
        connection = self.hook().get_async_conn()  # type: ignore[no-untyped-call]  # the provider leaves it untyped
        async with await connection as client:
            try:
                await client.stop_solution_version_creation(solutionVersionArn=self.return_value)
            except ClientError as error:
                self.log.warning("Could not stop %s; it may have ended: %s", self.return_value, error)
            else:
                self.log.info("Stopped the creation of solution version %s.", self.return_value)


class PersonalizeFilterActiveTrigger(PersonalizeBaseTrigger):
    """Await a filter."""

    resource = FILTER


class PersonalizeBatchInferenceJobCompletedTrigger(PersonalizeBaseTrigger):
    """Await the end of a batch inference job."""

    resource = BATCH_INFERENCE_JOB
