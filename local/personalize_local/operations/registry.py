"""Know every operation that is built, by its name."""

from __future__ import annotations

from personalize_local.context import Operation
from personalize_local.operations import (
    batch_inference_jobs,
    dataset_groups,
    dataset_import_jobs,
    datasets,
    filters,
    recipes,
    schemas,
    solution_versions,
    solutions,
    tags,
)

OPERATIONS: dict[str, Operation] = {
    **batch_inference_jobs.OPERATIONS,
    **dataset_groups.OPERATIONS,
    **dataset_import_jobs.OPERATIONS,
    **datasets.OPERATIONS,
    **filters.OPERATIONS,
    **recipes.OPERATIONS,
    **schemas.OPERATIONS,
    **solution_versions.OPERATIONS,
    **solutions.OPERATIONS,
    **tags.OPERATIONS,
}
