"""Await in the triggerer that Amazon Personalize no longer knows a resource."""

from __future__ import annotations

from airflow_personalize.resource import deleted
from airflow_personalize.resources import (
    CAMPAIGN,
    DATASET,
    DATASET_GROUP,
    EVENT_TRACKER,
    FILTER,
    METRIC_ATTRIBUTION,
    RECOMMENDER,
    SCHEMA,
    SOLUTION,
)
from airflow_personalize.triggers.personalize_base import PersonalizeBaseTrigger


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
