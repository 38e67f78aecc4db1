"""Wait in the triggerer until a Personalize resource is created, changed, stopped or gone, or a quota has room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, ClassVar

from airflow.providers.amazon.aws.triggers.base import AwsBaseWaiterTrigger
from airflow.providers.common.compat.sdk import AirflowException
from airflow.triggers.base import BaseTrigger, TriggerEvent
from botocore.exceptions import BotoCoreError, ClientError

from airflow_personalize.errors import PersonalizeFatalError
from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.refusals import wait_error
from airflow_personalize.resource import Wait, deleted, in_status, ready, stopped, updated
from airflow_personalize.resources import (
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
    CAMPAIGN,
    DATA_DELETION_JOB,
    DATASET,
    DATASET_EXPORT_JOB,
    DATASET_GROUP,
    DATASET_IMPORT_JOB,
    EVENT_TRACKER,
    FILTER,
    METRIC_ATTRIBUTION,
    RECOMMENDER,
    SCHEMA,
    SOLUTION,
    SOLUTION_VERSION,
)


class PersonalizeBaseTrigger(AwsBaseWaiterTrigger):
    """Yield one event when a wait has ended, has failed, or can no longer be watched.

    The event holds everything the task needs, ``status`` (``success`` or ``error``), ``arn``, and on error
    ``message`` and ``fatal``; ``dag.test()`` drops the arguments of ``defer(kwargs=…)``.

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


class PersonalizeDatasetGroupActiveTrigger(PersonalizeBaseTrigger):
    """Await a dataset group."""

    wait = ready(DATASET_GROUP)


class PersonalizeDatasetActiveTrigger(PersonalizeBaseTrigger):
    """Await a dataset."""

    wait = ready(DATASET)


class PersonalizeDatasetImportJobCompletedTrigger(PersonalizeBaseTrigger):
    """Await the end of a dataset import job."""

    wait = ready(DATASET_IMPORT_JOB)


class PersonalizeDatasetExportJobCompletedTrigger(PersonalizeBaseTrigger):
    """Await the end of a dataset export job."""

    wait = ready(DATASET_EXPORT_JOB)


class PersonalizeDataDeletionJobCompletedTrigger(PersonalizeBaseTrigger):
    """Await the end of a data deletion job."""

    wait = ready(DATA_DELETION_JOB)


class PersonalizeSolutionActiveTrigger(PersonalizeBaseTrigger):
    """Await a solution."""

    wait = ready(SOLUTION)


class PersonalizeSolutionVersionCompletedTrigger(PersonalizeBaseTrigger):
    """Await the end of a training.

    :param stop_on_kill: stop the training when a person fails or clears the deferred task; a restart of the
        triggerer does not count. Default False.
    """

    wait = ready(SOLUTION_VERSION)

    def __init__(self, *, stop_on_kill: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stop_on_kill = stop_on_kill
        self.serialized_fields["stop_on_kill"] = stop_on_kill

    async def on_kill(self) -> None:
        """Stop the training when ``stop_on_kill`` is set."""
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

    wait = ready(FILTER)


class PersonalizeBatchInferenceJobCompletedTrigger(PersonalizeBaseTrigger):
    """Await the end of a batch inference job."""

    wait = ready(BATCH_INFERENCE_JOB)


class PersonalizeBatchSegmentJobCompletedTrigger(PersonalizeBaseTrigger):
    """Await the end of a batch segment job."""

    wait = ready(BATCH_SEGMENT_JOB)


class PersonalizeCampaignActiveTrigger(PersonalizeBaseTrigger):
    """Await a campaign."""

    wait = ready(CAMPAIGN)


class PersonalizeEventTrackerActiveTrigger(PersonalizeBaseTrigger):
    """Await an event tracker."""

    wait = ready(EVENT_TRACKER)


class PersonalizeMetricAttributionActiveTrigger(PersonalizeBaseTrigger):
    """Await a metric attribution."""

    wait = ready(METRIC_ATTRIBUTION)


class PersonalizeRecommenderActiveTrigger(PersonalizeBaseTrigger):
    """Await a recommender."""

    wait = ready(RECOMMENDER)


class PersonalizeRecommenderStartedTrigger(PersonalizeBaseTrigger):
    """Await the start of a recommender: one that is stopped is waited for."""

    wait = in_status(RECOMMENDER, "ACTIVE", "started")


class PersonalizeRecommenderStoppedTrigger(PersonalizeBaseTrigger):
    """Await the stop of a recommender."""

    wait = in_status(RECOMMENDER, "INACTIVE", "stopped")


class PersonalizeDatasetUpdatedTrigger(PersonalizeBaseTrigger):
    """Await the schema replacement of a dataset."""

    wait = updated(DATASET)


class PersonalizeSolutionUpdatedTrigger(PersonalizeBaseTrigger):
    """Await the update of a solution."""

    wait = updated(SOLUTION)


class PersonalizeCampaignUpdatedTrigger(PersonalizeBaseTrigger):
    """Await the update of a campaign."""

    wait = updated(CAMPAIGN)


class PersonalizeRecommenderUpdatedTrigger(PersonalizeBaseTrigger):
    """Await the update of a recommender."""

    wait = updated(RECOMMENDER)


class PersonalizeMetricAttributionUpdatedTrigger(PersonalizeBaseTrigger):
    """Await the update of a metric attribution."""

    wait = updated(METRIC_ATTRIBUTION)


class PersonalizeSolutionVersionStoppedTrigger(PersonalizeBaseTrigger):
    """Await the end of a training that is being stopped."""

    wait = stopped(SOLUTION_VERSION)


class PersonalizeDatasetGroupDeletedTrigger(PersonalizeBaseTrigger):
    """Await the end of the deletion of a dataset group."""

    wait = deleted(DATASET_GROUP)


class PersonalizeSchemaDeletedTrigger(PersonalizeBaseTrigger):
    """Await the end of the deletion of a schema."""

    wait = deleted(SCHEMA)


class PersonalizeDatasetDeletedTrigger(PersonalizeBaseTrigger):
    """Await the end of the deletion of a dataset."""

    wait = deleted(DATASET)


class PersonalizeSolutionDeletedTrigger(PersonalizeBaseTrigger):
    """Await the end of the deletion of a solution."""

    wait = deleted(SOLUTION)


class PersonalizeFilterDeletedTrigger(PersonalizeBaseTrigger):
    """Await the end of the deletion of a filter."""

    wait = deleted(FILTER)


class PersonalizeCampaignDeletedTrigger(PersonalizeBaseTrigger):
    """Await the end of the deletion of a campaign."""

    wait = deleted(CAMPAIGN)


class PersonalizeEventTrackerDeletedTrigger(PersonalizeBaseTrigger):
    """Await the end of the deletion of an event tracker."""

    wait = deleted(EVENT_TRACKER)


class PersonalizeMetricAttributionDeletedTrigger(PersonalizeBaseTrigger):
    """Await the end of the deletion of a metric attribution."""

    wait = deleted(METRIC_ATTRIBUTION)


class PersonalizeRecommenderDeletedTrigger(PersonalizeBaseTrigger):
    """Await the end of the deletion of a recommender."""

    wait = deleted(RECOMMENDER)


class PersonalizeQuotaTrigger(BaseTrigger):
    """Yield one event, ``{"since": …}``, at a moment.

    The event holds what the task needs, because ``defer(kwargs=…)`` is lost in ``dag.test()``.

    :param since: ISO 8601: when the quota was found full for the first time.
    :param moment: ISO 8601: when to try again.
    """

    def __init__(self, *, since: str, moment: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
        self.since = since
        self.moment = moment

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what a restarted triggerer needs to go on."""
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        return name, {"since": self.since, "moment": self.moment}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep until the moment."""
        left = datetime.fromisoformat(self.moment) - datetime.now(UTC)
        await asyncio.sleep(max(left.total_seconds(), 0))
        yield TriggerEvent({"since": self.since})  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
