"""Register every operation of the control plane by name."""

from __future__ import annotations

from typing import Any

from personalize_local.context import Context, Operation, Params
from personalize_local.errors import not_found
from personalize_local.operations import (
    batch_jobs,
    campaigns,
    dataset_jobs,
    datasets,
    event_tracking,
    filters,
    recipes,
    solution_versions,
    solutions,
    tags,
)
from personalize_local.operations.common import list_all
from personalize_local.resources import RECOMMENDER

OPERATIONS: dict[str, Operation] = {
    **batch_jobs.OPERATIONS,
    **campaigns.OPERATIONS,
    **dataset_jobs.OPERATIONS,
    **datasets.OPERATIONS,
    **event_tracking.OPERATIONS,
    **filters.OPERATIONS,
    **recipes.OPERATIONS,
    "ListRecommenders": list_all(RECOMMENDER),
    **solution_versions.OPERATIONS,
    **solutions.OPERATIONS,
    **tags.OPERATIONS,
}


def _refuse_recommender(_context: Context, params: Params) -> dict[str, Any]:
    raise not_found(params["recommenderArn"])


# Only domain dataset groups have recommenders, so these calls always fail; they do not count as implemented.
NEVER_FOUND: dict[str, Operation] = {
    f"{verb}Recommender": _refuse_recommender for verb in ("Delete", "Describe", "Start", "Stop", "Update")
}
