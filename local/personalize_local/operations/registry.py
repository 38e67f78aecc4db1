"""Register every operation of the control plane by name."""

from __future__ import annotations

from personalize_local.context import Operation
from personalize_local.operations import (
    batch_jobs,
    campaigns,
    dataset_jobs,
    datasets,
    event_tracking,
    filters,
    recipes,
    recommenders,
    solution_versions,
    solutions,
    tags,
)

OPERATIONS: dict[str, Operation] = {
    **batch_jobs.OPERATIONS,
    **campaigns.OPERATIONS,
    **dataset_jobs.OPERATIONS,
    **datasets.OPERATIONS,
    **event_tracking.OPERATIONS,
    **filters.OPERATIONS,
    **recipes.OPERATIONS,
    **recommenders.OPERATIONS,
    **solution_versions.OPERATIONS,
    **solutions.OPERATIONS,
    **tags.OPERATIONS,
}
