"""Triggers that wait for Amazon Personalize resources to be created, updated or stopped."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from airflow_personalize.resource import ready, stopped, updated
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
    SOLUTION,
    SOLUTION_VERSION,
)
from airflow_personalize.triggers.personalize_base import PersonalizeBaseTrigger


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


class PersonalizeDatasetUpdatedTrigger(PersonalizeBaseTrigger):
    """Await the schema replacement of a dataset."""

    wait = updated(DATASET)


class PersonalizeSolutionUpdatedTrigger(PersonalizeBaseTrigger):
    """Await the update of a solution."""

    wait = updated(SOLUTION)


class PersonalizeCampaignUpdatedTrigger(PersonalizeBaseTrigger):
    """Await the update of a campaign."""

    wait = updated(CAMPAIGN)


class PersonalizeMetricAttributionUpdatedTrigger(PersonalizeBaseTrigger):
    """Await the update of a metric attribution."""

    wait = updated(METRIC_ATTRIBUTION)


class PersonalizeSolutionVersionStoppedTrigger(PersonalizeBaseTrigger):
    """Await the end of a training that is being stopped."""

    wait = stopped(SOLUTION_VERSION)
