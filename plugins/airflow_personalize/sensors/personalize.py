"""Wait for Amazon Personalize resources that something else made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.amazon.aws.sensors.base_aws import AwsBaseSensor
from airflow.providers.amazon.aws.utils import validate_execute_complete_event
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_personalize.defaults import RETRY_POLICY, deferrable_by_default
from airflow_personalize.errors import PersonalizeFatalError, PersonalizeRetriableError
from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.refusals import may_pass
from airflow_personalize.triggers.personalize import (
    PersonalizeBaseTrigger,
    PersonalizeBatchInferenceJobCompletedTrigger,
    PersonalizeBatchSegmentJobCompletedTrigger,
    PersonalizeCampaignActiveTrigger,
    PersonalizeCampaignUpdatedTrigger,
    PersonalizeDataDeletionJobCompletedTrigger,
    PersonalizeDatasetActiveTrigger,
    PersonalizeDatasetExportJobCompletedTrigger,
    PersonalizeDatasetGroupActiveTrigger,
    PersonalizeDatasetImportJobCompletedTrigger,
    PersonalizeDatasetUpdatedTrigger,
    PersonalizeEventTrackerActiveTrigger,
    PersonalizeFilterActiveTrigger,
    PersonalizeMetricAttributionActiveTrigger,
    PersonalizeRecommenderStartedTrigger,
    PersonalizeRecommenderUpdatedTrigger,
    PersonalizeSolutionActiveTrigger,
    PersonalizeSolutionUpdatedTrigger,
    PersonalizeSolutionVersionCompletedTrigger,
)

if TYPE_CHECKING:
    from airflow.sdk import Context


class PersonalizeBaseSensor(AwsBaseSensor[PersonalizeHook]):
    """Wait until a resource is ready; return its ARN. One that failed fails the task without a retry.

    :param arn: ARN of the resource. (templated)
    :param deferrable: wait in the triggerer rather than in a worker slot. Default: Airflow's setting
        ``[airflow_personalize] deferrable``, else True.
    :param poke_interval: seconds between polls. Default: Airflow's own, 60.
    """

    aws_hook_class = PersonalizeHook
    trigger_class: ClassVar[type[PersonalizeBaseTrigger]]
    template_fields: Sequence[str] = aws_template_fields("arn")

    def __init__(
        self,
        *,
        arn: str,
        deferrable: bool = deferrable_by_default(),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # Here, because default arguments of the DAG reach only Airflow's own parameters.
        self.retry_policy = self.retry_policy or RETRY_POLICY
        self.arn = arn
        self.deferrable = deferrable

    def execute(self, context: Context) -> str:
        """Look; wait in the triggerer or here."""
        if not self.deferrable:
            super().execute(context)
        elif not self.poke(context):
            self._defer()
        return self.arn

    def poke(self, context: Context) -> bool:
        """Look once; what keeps Amazon Personalize from answering for the moment is "not yet".

        A sensor looks for days; each such error would take one of the task's few retries.

        :raises PersonalizeFatalError: it failed, does not exist, or may not be seen.
        """
        try:
            return self.hook.has_ended_well(self.trigger_class.wait, self.arn)
        except Exception as error:
            if not may_pass(error):
                raise
            self.log.warning("This look failed; the next one follows. %s", error)
            return False

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> str:
        """Return the ARN, or raise what the trigger saw."""
        outcome = validate_execute_complete_event(event)
        if outcome["status"] == "success" or self.poke(context):
            return self.arn
        raise (PersonalizeFatalError if outcome.get("fatal") else PersonalizeRetriableError)(
            outcome["message"]
        )

    def _defer(self) -> None:
        delay = max(1, int(self.poke_interval))
        self.defer(
            trigger=self.trigger_class(
                arn=self.arn,
                waiter_delay=delay,
                waiter_max_attempts=math.ceil(self.timeout / delay),
                aws_conn_id=self.aws_conn_id,
                region_name=self.region_name,
                verify=self.verify,
                botocore_config=self.botocore_config,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )


class PersonalizeDatasetGroupSensor(PersonalizeBaseSensor):
    """Wait until a dataset group is active."""

    trigger_class = PersonalizeDatasetGroupActiveTrigger


class PersonalizeDatasetSensor(PersonalizeBaseSensor):
    """Wait until a dataset is active."""

    trigger_class = PersonalizeDatasetActiveTrigger


class PersonalizeDatasetImportJobSensor(PersonalizeBaseSensor):
    """Wait until a dataset import job has ended well."""

    trigger_class = PersonalizeDatasetImportJobCompletedTrigger


class PersonalizeDatasetExportJobSensor(PersonalizeBaseSensor):
    """Wait until a dataset export job has ended well."""

    trigger_class = PersonalizeDatasetExportJobCompletedTrigger


class PersonalizeDataDeletionJobSensor(PersonalizeBaseSensor):
    """Wait until a data deletion job has ended well."""

    trigger_class = PersonalizeDataDeletionJobCompletedTrigger


class PersonalizeSolutionSensor(PersonalizeBaseSensor):
    """Wait until a solution is active."""

    trigger_class = PersonalizeSolutionActiveTrigger


class PersonalizeSolutionVersionSensor(PersonalizeBaseSensor):
    """Wait until a training has ended well."""

    trigger_class = PersonalizeSolutionVersionCompletedTrigger


class PersonalizeFilterSensor(PersonalizeBaseSensor):
    """Wait until a filter is active."""

    trigger_class = PersonalizeFilterActiveTrigger


class PersonalizeBatchInferenceJobSensor(PersonalizeBaseSensor):
    """Wait until a batch inference job has ended well."""

    trigger_class = PersonalizeBatchInferenceJobCompletedTrigger


class PersonalizeBatchSegmentJobSensor(PersonalizeBaseSensor):
    """Wait until a batch segment job has ended well."""

    trigger_class = PersonalizeBatchSegmentJobCompletedTrigger


class PersonalizeCampaignSensor(PersonalizeBaseSensor):
    """Wait until a campaign is active."""

    trigger_class = PersonalizeCampaignActiveTrigger


class PersonalizeEventTrackerSensor(PersonalizeBaseSensor):
    """Wait until an event tracker is active."""

    trigger_class = PersonalizeEventTrackerActiveTrigger


class PersonalizeMetricAttributionSensor(PersonalizeBaseSensor):
    """Wait until a metric attribution is active."""

    trigger_class = PersonalizeMetricAttributionActiveTrigger


class PersonalizeRecommenderSensor(PersonalizeBaseSensor):
    """Wait until a recommender is active; one that is stopped is waited for until something starts it."""

    trigger_class = PersonalizeRecommenderStartedTrigger


class PersonalizeDatasetUpdateSensor(PersonalizeBaseSensor):
    """Wait until the schema replacement of a dataset is in force; one that was never updated is not waited for."""

    trigger_class = PersonalizeDatasetUpdatedTrigger


class PersonalizeSolutionUpdateSensor(PersonalizeBaseSensor):
    """Wait until the newest update of a solution is in force; one that was never updated is not waited for."""

    trigger_class = PersonalizeSolutionUpdatedTrigger


class PersonalizeCampaignUpdateSensor(PersonalizeBaseSensor):
    """Wait until the newest update of a campaign is in force; one that was never updated is not waited for."""

    trigger_class = PersonalizeCampaignUpdatedTrigger


class PersonalizeRecommenderUpdateSensor(PersonalizeBaseSensor):
    """Wait until the newest update of a recommender is in force; one that was never updated is not waited for."""

    trigger_class = PersonalizeRecommenderUpdatedTrigger
