"""Operators for Amazon Personalize: create or adopt, update, delete, await, measure, stream, ask."""

from __future__ import annotations

from airflow_personalize.operators.attribution import (
    PersonalizeCreateMetricAttributionOperator,
    PersonalizeUpdateMetricAttributionOperator,
)
from airflow_personalize.operators.campaigns import PersonalizeCreateCampaignOperator
from airflow_personalize.operators.data_jobs import (
    PersonalizeCreateDataDeletionJobOperator,
    PersonalizeCreateDatasetExportJobOperator,
)
from airflow_personalize.operators.dataset_groups import PersonalizeDeleteDatasetGroupOperator
from airflow_personalize.operators.delete import (
    PersonalizeDeleteCampaignOperator,
    PersonalizeDeleteDatasetOperator,
    PersonalizeDeleteEventTrackerOperator,
    PersonalizeDeleteFilterOperator,
    PersonalizeDeleteMetricAttributionOperator,
    PersonalizeDeleteSchemaOperator,
    PersonalizeDeleteSolutionOperator,
)
from airflow_personalize.operators.events import (
    PersonalizeCreateEventTrackerOperator,
    PersonalizePutActionInteractionsOperator,
    PersonalizePutActionsOperator,
    PersonalizePutEventsOperator,
    PersonalizePutItemsOperator,
    PersonalizePutUsersOperator,
)
from airflow_personalize.operators.jobs import (
    PersonalizeCreateBatchInferenceJobOperator,
    PersonalizeCreateDatasetImportJobOperator,
    PersonalizeCreateSolutionVersionOperator,
)
from airflow_personalize.operators.metrics import PersonalizeGetSolutionMetricsOperator
from airflow_personalize.operators.real_time import (
    PersonalizeGetActionRecommendationsOperator,
    PersonalizeGetPersonalizedRankingOperator,
    PersonalizeGetRecommendationsOperator,
)
from airflow_personalize.operators.resources import (
    PersonalizeCreateDatasetGroupOperator,
    PersonalizeCreateDatasetOperator,
    PersonalizeCreateFilterOperator,
    PersonalizeCreateSchemaOperator,
    PersonalizeCreateSolutionOperator,
)
from airflow_personalize.operators.segments import PersonalizeCreateBatchSegmentJobOperator
from airflow_personalize.operators.stop import PersonalizeStopSolutionVersionCreationOperator
from airflow_personalize.operators.tags import (
    PersonalizeTagResourceOperator,
    PersonalizeUntagResourceOperator,
)
from airflow_personalize.operators.update import (
    PersonalizeUpdateCampaignOperator,
    PersonalizeUpdateDatasetOperator,
    PersonalizeUpdateSolutionOperator,
)

__all__ = [
    "PersonalizeCreateBatchInferenceJobOperator",
    "PersonalizeCreateBatchSegmentJobOperator",
    "PersonalizeCreateCampaignOperator",
    "PersonalizeCreateDataDeletionJobOperator",
    "PersonalizeCreateDatasetExportJobOperator",
    "PersonalizeCreateDatasetGroupOperator",
    "PersonalizeCreateDatasetImportJobOperator",
    "PersonalizeCreateDatasetOperator",
    "PersonalizeCreateEventTrackerOperator",
    "PersonalizeCreateFilterOperator",
    "PersonalizeCreateMetricAttributionOperator",
    "PersonalizeCreateSchemaOperator",
    "PersonalizeCreateSolutionOperator",
    "PersonalizeCreateSolutionVersionOperator",
    "PersonalizeDeleteCampaignOperator",
    "PersonalizeDeleteDatasetGroupOperator",
    "PersonalizeDeleteDatasetOperator",
    "PersonalizeDeleteEventTrackerOperator",
    "PersonalizeDeleteFilterOperator",
    "PersonalizeDeleteMetricAttributionOperator",
    "PersonalizeDeleteSchemaOperator",
    "PersonalizeDeleteSolutionOperator",
    "PersonalizeGetActionRecommendationsOperator",
    "PersonalizeGetPersonalizedRankingOperator",
    "PersonalizeGetRecommendationsOperator",
    "PersonalizeGetSolutionMetricsOperator",
    "PersonalizePutActionInteractionsOperator",
    "PersonalizePutActionsOperator",
    "PersonalizePutEventsOperator",
    "PersonalizePutItemsOperator",
    "PersonalizePutUsersOperator",
    "PersonalizeStopSolutionVersionCreationOperator",
    "PersonalizeTagResourceOperator",
    "PersonalizeUntagResourceOperator",
    "PersonalizeUpdateCampaignOperator",
    "PersonalizeUpdateDatasetOperator",
    "PersonalizeUpdateMetricAttributionOperator",
    "PersonalizeUpdateSolutionOperator",
]
