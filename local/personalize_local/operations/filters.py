"""Manage filters.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateFilter.html
"""

from __future__ import annotations

from typing import Any

from personalize_local.context import Context, Params
from personalize_local.errors import already_exists
from personalize_local.filters.check import checked_filter
from personalize_local.jobs.dataset_files import dataset_parts
from personalize_local.operations.common import (
    create,
    find,
    find_active,
    operations_of,
    refuse_busy,
    start_delete,
)
from personalize_local.quotas import FILTERS_PER_DATASET_GROUP, check_count
from personalize_local.resources import BATCH_INFERENCE_JOB, DATASET_GROUP, FILTER


def create_filter(context: Context, params: Params) -> dict[str, Any]:
    """Start to create a filter whose expression fits the schemas of its dataset group."""
    arn = context.arn(f"{FILTER.tail}/{params['name']}")
    if context.store.get(arn) is not None:
        raise already_exists(arn)
    group = find_active(context, DATASET_GROUP, params["datasetGroupArn"])
    schemas = {kind: dataset.schema for kind, dataset in dataset_parts(context.store, group.arn).items()}
    checked_filter(params["filterExpression"], schemas)
    check_count(context.store, FILTER, FILTERS_PER_DATASET_GROUP, region=context.region, parent_arn=group.arn)
    body = {key: params[key] for key in ("name", "datasetGroupArn", "filterExpression")}
    return create(context, FILTER, arn, body, parent=group, params=params)


def delete_filter(context: Context, params: Params) -> dict[str, Any]:
    """Start to delete a filter that no running batch job uses."""
    found = find(context, FILTER, params["filterArn"])
    jobs = context.store.select(BATCH_INFERENCE_JOB.noun, region=context.region)
    refuse_busy([job for job in jobs if job.body.get("filterArn") == found.arn])
    return start_delete(context, found)


OPERATIONS = {"CreateFilter": create_filter, "DeleteFilter": delete_filter, **operations_of(FILTER)}
