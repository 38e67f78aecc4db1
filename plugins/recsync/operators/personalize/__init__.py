"""Operators for Amazon Personalize: create or adopt, update, delete, await, measure, stream, ask."""

from __future__ import annotations

from recsync.operators.personalize.attribution import (
    PersonalizeCreateMetricAttributionOperator,
    PersonalizeUpdateMetricAttributionOperator,
)
from recsync.operators.personalize.campaigns import (
    PersonalizeCreateCampaignOperator,
)
from recsync.operators.personalize.data_jobs import (
    PersonalizeCreateDataDeletionJobOperator,
    PersonalizeCreateDatasetExportJobOperator,
)
from recsync.operators.personalize.dataset_groups import (
    PersonalizeDeleteDatasetGroupOperator,
)
from recsync.operators.personalize.delete import (
    PersonalizeDeleteCampaignOperator,
    PersonalizeDeleteDatasetOperator,
    PersonalizeDeleteEventTrackerOperator,
    PersonalizeDeleteFilterOperator,
    PersonalizeDeleteMetricAttributionOperator,
    PersonalizeDeleteSchemaOperator,
    PersonalizeDeleteSolutionOperator,
)
from recsync.operators.personalize.events import (
    PersonalizeCreateEventTrackerOperator,
    PersonalizePutActionInteractionsOperator,
    PersonalizePutActionsOperator,
    PersonalizePutEventsOperator,
    PersonalizePutItemsOperator,
    PersonalizePutUsersOperator,
)
from recsync.operators.personalize.jobs import (
    PersonalizeCreateBatchInferenceJobOperator,
    PersonalizeCreateDatasetImportJobOperator,
    PersonalizeCreateSolutionVersionOperator,
)
from recsync.operators.personalize.metrics import (
    PersonalizeGetSolutionMetricsOperator,
)
from recsync.operators.personalize.real_time import (
    PersonalizeGetActionRecommendationsOperator,
    PersonalizeGetPersonalizedRankingOperator,
    PersonalizeGetRecommendationsOperator,
)
from recsync.operators.personalize.resources import (
    PersonalizeCreateDatasetGroupOperator,
    PersonalizeCreateDatasetOperator,
    PersonalizeCreateFilterOperator,
    PersonalizeCreateSchemaOperator,
    PersonalizeCreateSolutionOperator,
)
from recsync.operators.personalize.segments import (
    PersonalizeCreateBatchSegmentJobOperator,
)
from recsync.operators.personalize.stop import (
    PersonalizeStopSolutionVersionCreationOperator,
)
from recsync.operators.personalize.tags import (
    PersonalizeTagResourceOperator,
    PersonalizeUntagResourceOperator,
)
from recsync.operators.personalize.update import (
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
