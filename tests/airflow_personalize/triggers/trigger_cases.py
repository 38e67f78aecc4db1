"""How each trigger is made."""

from __future__ import annotations

import asyncio
from typing import Any

from operator_runs import first_event

from airflow_personalize.triggers.personalize import (
    PersonalizeBaseTrigger,
    PersonalizeCampaignDeletedTrigger,
    PersonalizeDatasetDeletedTrigger,
    PersonalizeDatasetGroupDeletedTrigger,
    PersonalizeEventTrackerDeletedTrigger,
    PersonalizeFilterDeletedTrigger,
    PersonalizeMetricAttributionDeletedTrigger,
    PersonalizeRecommenderDeletedTrigger,
    PersonalizeSchemaDeletedTrigger,
    PersonalizeSolutionDeletedTrigger,
)

ARN = "arn:aws:personalize:eu-west-1:123456789012:thing/one"


DELETED = {
    PersonalizeDatasetGroupDeletedTrigger: ("DescribeDatasetGroup", "datasetGroup"),
    PersonalizeSchemaDeletedTrigger: ("DescribeSchema", "schema"),
    PersonalizeDatasetDeletedTrigger: ("DescribeDataset", "dataset"),
    PersonalizeSolutionDeletedTrigger: ("DescribeSolution", "solution"),
    PersonalizeFilterDeletedTrigger: ("DescribeFilter", "filter"),
    PersonalizeCampaignDeletedTrigger: ("DescribeCampaign", "campaign"),
    PersonalizeEventTrackerDeletedTrigger: ("DescribeEventTracker", "eventTracker"),
    PersonalizeMetricAttributionDeletedTrigger: ("DescribeMetricAttribution", "metricAttribution"),
    PersonalizeRecommenderDeletedTrigger: ("DescribeRecommender", "recommender"),
}


def event(trigger: PersonalizeBaseTrigger) -> dict[str, Any]:
    return asyncio.run(first_event(trigger))
