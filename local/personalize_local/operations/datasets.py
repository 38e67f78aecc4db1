"""Manage datasets: one of each type per dataset group.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateDataset.html
"""

from __future__ import annotations

from typing import Any

from personalize_local.arns import dataset_tail
from personalize_local.context import Context, Params
from personalize_local.datasets.avro import DATASET_TYPES, parse_schema
from personalize_local.errors import already_exists, invalid_input
from personalize_local.operations.common import (
    create,
    find,
    find_active,
    operations_of,
    refuse_busy,
    start_delete,
)
from personalize_local.resources import (
    DATASET,
    DATASET_GROUP,
    DATASET_IMPORT_JOB,
    SCHEMA,
    SOLUTION,
    SOLUTION_VERSION,
    Resource,
)


def create_dataset(context: Context, params: Params) -> dict[str, Any]:
    """Start to create a dataset whose schema fits its type and its group's domain."""
    dataset_type = _dataset_type(params["datasetType"])
    group = find_active(context, DATASET_GROUP, params["datasetGroupArn"])
    schema = find(context, SCHEMA, params["schemaArn"])
    arn = context.arn(dataset_tail(group.body["name"], dataset_type))
    if context.store.get(arn) is not None:
        raise already_exists(arn)
    _check_name(context, params["name"])
    _check_schema(schema, dataset_type, group)
    body = {
        "name": params["name"],
        "datasetGroupArn": group.arn,
        "datasetType": dataset_type,
        "schemaArn": schema.arn,
    }
    return create(context, DATASET, arn, body, parent=group, params=params, internal={"parts": []})


def delete_dataset(context: Context, params: Params) -> dict[str, Any]:
    """Start to delete a dataset that no import writes and no training reads."""
    dataset = find(context, DATASET, params["datasetArn"])
    refuse_busy(context.store.select(DATASET_IMPORT_JOB.noun, parent_arn=dataset.arn))
    for solution in context.store.select(SOLUTION.noun, parent_arn=dataset.parent_arn):
        refuse_busy(context.store.select(SOLUTION_VERSION.noun, parent_arn=solution.arn))
    return start_delete(context, dataset)


def _dataset_type(text: str) -> str:
    dataset_type = text.upper()
    if dataset_type not in DATASET_TYPES:
        raise invalid_input(f"Unknown dataset type {text}. Valid types: {', '.join(DATASET_TYPES)}.")
    return dataset_type


def _check_name(context: Context, name: str) -> None:
    # Names are unique per account and region, although a dataset's ARN does not carry its name.
    for other in context.store.select(DATASET.noun, region=context.region):
        if other.body["name"] == name:
            raise already_exists(other.arn)


def _check_schema(schema: Resource, dataset_type: str, group: Resource) -> None:
    if schema.body.get("domain") != group.body.get("domain"):
        raise invalid_input(f"Schema {schema.arn} and dataset group {group.arn} differ in their domain.")
    described = parse_schema(schema.body["schema"], schema.body.get("domain")).dataset_type
    if described != dataset_type:
        raise invalid_input(f"Schema {schema.arn} describes {described} and not {dataset_type}.")


OPERATIONS = {"CreateDataset": create_dataset, "DeleteDataset": delete_dataset, **operations_of(DATASET)}
