"""Give every kind of resource its job."""

from __future__ import annotations

from personalize_local.jobs.batch import BatchInferenceJob
from personalize_local.jobs.imports import DatasetImport
from personalize_local.jobs.job import Job, Surroundings
from personalize_local.jobs.training import Training
from personalize_local.resources import (
    BATCH_INFERENCE_JOB,
    DATASET,
    DATASET_GROUP,
    DATASET_IMPORT_JOB,
    FILTER,
    SOLUTION,
    SOLUTION_VERSION,
    Resource,
)


class _Solution(Job):
    def delete(self, around: Surroundings, resource: Resource) -> None:
        """Remove a solution and its versions; the models become garbage."""
        for version in around.store.select(SOLUTION_VERSION.noun, parent_arn=resource.arn):
            around.store.delete(version.arn)
        around.store.delete(resource.arn)


JOBS: dict[str, Job] = {
    DATASET_GROUP.noun: Job(),
    DATASET.noun: Job(),
    FILTER.noun: Job(),
    SOLUTION.noun: _Solution(),
    DATASET_IMPORT_JOB.noun: DatasetImport(),
    SOLUTION_VERSION.noun: Training(),
    BATCH_INFERENCE_JOB.noun: BatchInferenceJob(),
}
