"""Operators for Amazon Personalize: create or adopt, update, delete, await, measure, stream, ask."""

from __future__ import annotations

from airflow_personalize.operators.attribution import (
    PersonalizeCreateMetricAttributionOperator,
    PersonalizeUpdateMetricAttributionOperator,
)
from airflow_personalize.operators.delete import (
    PersonalizeDeleteCampaignOperator,
    PersonalizeDeleteDatasetGroupOperator,
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
from airflow_personalize.operators.inference import (
    PersonalizeCreateBatchSegmentJobOperator,
    PersonalizeGetActionRecommendationsOperator,
    PersonalizeGetPersonalizedRankingOperator,
    PersonalizeGetRecommendationsOperator,
)
from airflow_personalize.operators.jobs import (
    PersonalizeCreateBatchInferenceJobOperator,
    PersonalizeCreateDataDeletionJobOperator,
    PersonalizeCreateDatasetExportJobOperator,
    PersonalizeCreateDatasetImportJobOperator,
    PersonalizeCreateSolutionVersionOperator,
    PersonalizeGetSolutionMetricsOperator,
)
from airflow_personalize.operators.recommenders import (
    PersonalizeCreateRecommenderOperator,
    PersonalizeDeleteRecommenderOperator,
    PersonalizeStartRecommenderOperator,
    PersonalizeStopRecommenderOperator,
    PersonalizeUpdateRecommenderOperator,
)
from airflow_personalize.operators.resources import (
    PersonalizeCreateCampaignOperator,
    PersonalizeCreateDatasetGroupOperator,
    PersonalizeCreateDatasetOperator,
    PersonalizeCreateFilterOperator,
    PersonalizeCreateSchemaOperator,
    PersonalizeCreateSolutionOperator,
)
from airflow_personalize.operators.update import (
    PersonalizeStopSolutionVersionCreationOperator,
    PersonalizeTagResourceOperator,
    PersonalizeUntagResourceOperator,
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
    "PersonalizeCreateRecommenderOperator",
    "PersonalizeCreateSchemaOperator",
    "PersonalizeCreateSolutionOperator",
    "PersonalizeCreateSolutionVersionOperator",
    "PersonalizeDeleteCampaignOperator",
    "PersonalizeDeleteDatasetGroupOperator",
    "PersonalizeDeleteDatasetOperator",
    "PersonalizeDeleteEventTrackerOperator",
    "PersonalizeDeleteFilterOperator",
    "PersonalizeDeleteMetricAttributionOperator",
    "PersonalizeDeleteRecommenderOperator",
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
    "PersonalizeStartRecommenderOperator",
    "PersonalizeStopRecommenderOperator",
    "PersonalizeStopSolutionVersionCreationOperator",
    "PersonalizeTagResourceOperator",
    "PersonalizeUntagResourceOperator",
    "PersonalizeUpdateCampaignOperator",
    "PersonalizeUpdateDatasetOperator",
    "PersonalizeUpdateMetricAttributionOperator",
    "PersonalizeUpdateRecommenderOperator",
    "PersonalizeUpdateSolutionOperator",
]
