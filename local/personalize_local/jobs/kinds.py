"""Give every kind of resource its job."""

from __future__ import annotations

from personalize_local.jobs.batch import BatchInferenceJob
from personalize_local.jobs.campaigns import Campaign, CampaignUpdate
from personalize_local.jobs.deletions import DataDeletion
from personalize_local.jobs.exports import DatasetExport
from personalize_local.jobs.imports import DatasetImport
from personalize_local.jobs.job import Job
from personalize_local.jobs.segments import BatchSegmentJob
from personalize_local.jobs.training import Training
from personalize_local.jobs.updates import Dataset, DatasetUpdate, Solution, SolutionUpdate
from personalize_local.resources import (
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
    CAMPAIGN,
    CAMPAIGN_UPDATE,
    DATA_DELETION_JOB,
    DATASET,
    DATASET_EXPORT_JOB,
    DATASET_GROUP,
    DATASET_IMPORT_JOB,
    DATASET_UPDATE,
    EVENT_TRACKER,
    FILTER,
    METRIC_ATTRIBUTION,
    SOLUTION,
    SOLUTION_UPDATE,
    SOLUTION_VERSION,
)

JOBS: dict[str, Job] = {
    DATASET_GROUP.noun: Job(),
    DATASET.noun: Dataset(),
    FILTER.noun: Job(),
    SOLUTION.noun: Solution(),
    DATASET_IMPORT_JOB.noun: DatasetImport(),
    DATASET_EXPORT_JOB.noun: DatasetExport(),
    DATASET_UPDATE.noun: DatasetUpdate(),
    DATA_DELETION_JOB.noun: DataDeletion(),
    SOLUTION_UPDATE.noun: SolutionUpdate(),
    SOLUTION_VERSION.noun: Training(),
    BATCH_INFERENCE_JOB.noun: BatchInferenceJob(),
    BATCH_SEGMENT_JOB.noun: BatchSegmentJob(),
    CAMPAIGN.noun: Campaign(),
    CAMPAIGN_UPDATE.noun: CampaignUpdate(),
    EVENT_TRACKER.noun: Job(),
    METRIC_ATTRIBUTION.noun: Job(),
}
