"""Know every operation that is built, by its name."""

from __future__ import annotations

from personalize_local.context import Operation
from personalize_local.operations import (
    algorithms,
    batch_inference_jobs,
    batch_segment_jobs,
    campaigns,
    data_deletion_jobs,
    dataset_export_jobs,
    dataset_groups,
    dataset_import_jobs,
    datasets,
    event_trackers,
    filters,
    metric_attributions,
    recipes,
    recommenders,
    schemas,
    solution_versions,
    solutions,
    tags,
)

OPERATIONS: dict[str, Operation] = {
    **algorithms.OPERATIONS,
    **batch_inference_jobs.OPERATIONS,
    **batch_segment_jobs.OPERATIONS,
    **campaigns.OPERATIONS,
    **data_deletion_jobs.OPERATIONS,
    **dataset_export_jobs.OPERATIONS,
    **dataset_groups.OPERATIONS,
    **dataset_import_jobs.OPERATIONS,
    **datasets.OPERATIONS,
    **event_trackers.OPERATIONS,
    **filters.OPERATIONS,
    **metric_attributions.OPERATIONS,
    **recipes.OPERATIONS,
    **recommenders.OPERATIONS,
    **schemas.OPERATIONS,
    **solution_versions.OPERATIONS,
    **solutions.OPERATIONS,
    **tags.OPERATIONS,
}
NEVER_FOUND: dict[str, Operation] = {**recommenders.NEVER_FOUND}
