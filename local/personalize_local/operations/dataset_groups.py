"""Manage dataset groups.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateDatasetGroup.html
"""

from __future__ import annotations

from typing import Any

from personalize_local.context import Context, Params
from personalize_local.errors import already_exists, invalid_input
from personalize_local.operations.common import create, find, operations_of, refuse_children, start_delete
from personalize_local.resources import (
    DATASET,
    DATASET_GROUP,
    EVENT_TRACKER,
    FILTER,
    METRIC_ATTRIBUTION,
    SOLUTION,
)


def create_dataset_group(context: Context, params: Params) -> dict[str, Any]:
    """Start to create a dataset group."""
    arn = context.arn(f"{DATASET_GROUP.tail}/{params['name']}")
    if context.store.get(arn) is not None:
        raise already_exists(arn)
    if "kmsKeyArn" in params and "roleArn" not in params:
        raise invalid_input("A KMS key requires a role: give roleArn together with kmsKeyArn.")
    context.check_quota(DATASET_GROUP)
    body = {key: params.get(key) for key in ("name", "roleArn", "kmsKeyArn", "domain")}
    return {**create(context, DATASET_GROUP, arn, body, params=params), "domain": params.get("domain")}


def delete_dataset_group(context: Context, params: Params) -> dict[str, Any]:
    """Start to delete a dataset group that has no solutions, event trackers, filters and datasets any more."""
    group = find(context, DATASET_GROUP, params["datasetGroupArn"])
    refuse_children(context, group, SOLUTION, EVENT_TRACKER, METRIC_ATTRIBUTION, FILTER, DATASET)
    return start_delete(context, group)


OPERATIONS = {
    "CreateDatasetGroup": create_dataset_group,
    "DeleteDatasetGroup": delete_dataset_group,
    **operations_of(DATASET_GROUP),
}
