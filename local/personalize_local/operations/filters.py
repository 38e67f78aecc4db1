"""Manage filters.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateFilter.html
"""

from __future__ import annotations

from typing import Any

from personalize_local.context import Context, Params
from personalize_local.errors import already_exists, limit_exceeded
from personalize_local.filters.check import checked_filter
from personalize_local.filters.expressions import fields_of, parse_filter
from personalize_local.jobs.dataset_files import dataset_parts
from personalize_local.operations.common import (
    create,
    find,
    find_active,
    operations_of,
    refuse_busy,
    start_delete,
)
from personalize_local.resources import (
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
    DATASET_GROUP,
    FILTER,
    Resource,
)

# Quota of distinct fields over all filters of a dataset group:
# https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MOST_FIELDS_PER_GROUP = 20


def create_filter(context: Context, params: Params) -> dict[str, Any]:
    """Start to create a filter; check its expression against the schemas of the dataset group."""
    arn = context.arn(f"{FILTER.tail}/{params['name']}")
    if context.store.get(arn) is not None:
        raise already_exists(arn)
    group = find_active(context, DATASET_GROUP, params["datasetGroupArn"])
    schemas = {kind: dataset.schema for kind, dataset in dataset_parts(context.store, group.arn).items()}
    checked_filter(params["filterExpression"], schemas)
    context.check_quota(FILTER, group)
    _check_fields(context, group, params["filterExpression"])
    body = {key: params[key] for key in ("name", "datasetGroupArn", "filterExpression")}
    return create(context, FILTER, arn, body, parent=group, params=params)


def delete_filter(context: Context, params: Params) -> dict[str, Any]:
    """Start to delete a filter that no running batch job uses."""
    found = find(context, FILTER, params["filterArn"])
    for kind in (BATCH_INFERENCE_JOB, BATCH_SEGMENT_JOB):
        jobs = context.store.select(kind.noun, region=context.region)
        refuse_busy([job for job in jobs if job.body.get("filterArn") == found.arn])
    return start_delete(context, found)


def _check_fields(context: Context, group: Resource, text: str) -> None:
    filters = context.store.select(FILTER.noun, parent_arn=group.arn)
    texts = [text, *(each.body["filterExpression"] for each in filters)]
    fields = {
        (dataset.upper(), field.upper()) for each in texts for dataset, field in fields_of(parse_filter(each))
    }
    # CurrentUser is a row of Users.
    distinct = {("USERS" if dataset == "CURRENTUSER" else dataset, field) for dataset, field in fields}
    if len(distinct) > _MOST_FIELDS_PER_GROUP:
        raise limit_exceeded(
            f"The filters of the dataset group would use {len(distinct)} distinct fields; "
            f"there can be at most {_MOST_FIELDS_PER_GROUP}."
        )


OPERATIONS = {"CreateFilter": create_filter, "DeleteFilter": delete_filter, **operations_of(FILTER)}
