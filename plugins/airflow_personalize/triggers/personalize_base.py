"""Await Amazon Personalize in the triggerer: the flow that every trigger shares."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from airflow.providers.amazon.aws.triggers.base import AwsBaseWaiterTrigger
from airflow.providers.common.compat.sdk import AirflowException
from airflow.triggers.base import TriggerEvent
from botocore.exceptions import BotoCoreError, ClientError

from airflow_personalize.errors import PersonalizeFatalError
from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.refusals import wait_error
from airflow_personalize.resource import Wait


class PersonalizeBaseTrigger(AwsBaseWaiterTrigger):
    """Yield one event when a wait has ended, has failed, or can no longer be watched.

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
    wait: ClassVar[Wait]

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
        wait = self.wait
        super().__init__(
            serialized_fields={"arn": arn},
            waiter_name=wait.waiter,
            waiter_args={wait.resource.arn_member: arn},
            failure_message=f"{wait.resource.noun} {arn} was not {wait.outcome}",
            status_message=f"Status of {wait.resource.noun} {arn}",
            status_queries=wait.status_queries,
            return_key="arn",
            return_value=arn,
            waiter_delay=waiter_delay,
            waiter_max_attempts=waiter_max_attempts or wait.polls(waiter_delay),
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
        problem = wait_error(self.wait, self.return_value, error)
        payload = {
            "status": "error",
            "arn": self.return_value,
            "message": str(problem),
            "fatal": isinstance(problem, PersonalizeFatalError),
        }
        return TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
