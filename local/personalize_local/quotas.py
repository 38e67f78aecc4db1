"""Enforce the quotas that pipelines run into.

Figures: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
"""

from __future__ import annotations

from personalize_local.errors import limit_exceeded
from personalize_local.resources import (
    BATCH_INFERENCE_JOB,
    CREATING,
    DATASET_IMPORT_JOB,
    SOLUTION_VERSION,
    Kind,
)
from personalize_local.store import Store

DATASET_GROUPS_PER_REGION = 5
SCHEMAS_PER_REGION = 500
SOLUTIONS_PER_DATASET_GROUP = 10
FILTERS_PER_DATASET_GROUP = 30
_IN_PROGRESS_PER_REGION = {
    DATASET_IMPORT_JOB.noun: 5,
    SOLUTION_VERSION.noun: 20,
    BATCH_INFERENCE_JOB.noun: 5,
}


def check_in_progress(store: Store, kind: Kind, region: str) -> None:
    """Refuse one more job when the region already has as many pending or in progress as it may."""
    limit = _IN_PROGRESS_PER_REGION[kind.noun]
    if len(store.select(kind.noun, region=region, statuses=CREATING)) >= limit:
        raise limit_exceeded(f"More than {limit} resources with PENDING or IN_PROGRESS status.")


def check_count(store: Store, kind: Kind, limit: int, *, region: str, parent_arn: str | None = None) -> None:
    """Refuse one more resource when region (and parent) already hold `limit` of the kind."""
    if len(store.select(kind.noun, region=region, parent_arn=parent_arn)) >= limit:
        raise limit_exceeded(f"The account has reached the limit of {limit} {kind.list_member}.")
