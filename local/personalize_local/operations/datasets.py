"""Manage dataset groups, schemas and datasets.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateDataset.html
"""

from __future__ import annotations

import uuid
from typing import Any

from personalize_local.context import Context, Params
from personalize_local.datasets.avro import DATASET_TYPES, DatasetSchema, parse_schema
from personalize_local.errors import already_exists, in_use, invalid_input
from personalize_local.operations.common import (
    create,
    find,
    find_active,
    latest_update,
    list_all,
    operations_of,
    refuse_busy,
    refuse_children,
    refuse_updating,
    start_delete,
    start_update,
)
from personalize_local.resources import (
    CREATING,
    DATASET,
    DATASET_EXPORT_JOB,
    DATASET_GROUP,
    DATASET_IMPORT_JOB,
    DATASET_UPDATE,
    EVENT_TRACKER,
    FILTER,
    METRIC_ATTRIBUTION,
    RECOMMENDER,
    RECOMMENDER_UPDATE,
    SCHEMA,
    SOLUTION,
    SOLUTION_VERSION,
    Resource,
    dataset_tail,
)

# https://docs.aws.amazon.com/personalize/latest/dg/updating-dataset-schema.html
_WITH_NEW_SCHEMAS = ("ITEMS", "USERS")


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
    """Start to delete a dataset group that contains nothing but finished jobs."""
    group = find(context, DATASET_GROUP, params["datasetGroupArn"])
    refuse_children(context, group, SOLUTION, RECOMMENDER, EVENT_TRACKER, METRIC_ATTRIBUTION, FILTER, DATASET)
    return start_delete(context, group)


def create_schema(context: Context, params: Params) -> dict[str, Any]:
    """Check and store a schema."""
    arn = context.arn(f"{SCHEMA.tail}/{params['name']}")
    if context.store.get(arn) is not None:
        raise already_exists(arn)
    parse_schema(params["schema"], params.get("domain"))
    context.check_quota(SCHEMA)
    body = {key: params.get(key) for key in ("name", "schema", "domain")}
    return create(context, SCHEMA, arn, body, moves=False)


def delete_schema(context: Context, params: Params) -> dict[str, Any]:
    """Delete a schema that no dataset uses."""
    schema = find(context, SCHEMA, params["schemaArn"])
    datasets = context.store.select(DATASET.noun, region=context.region)
    updates = context.store.select(DATASET_UPDATE.noun, region=context.region, statuses=CREATING)
    for user in (*datasets, *updates):
        if user.body["schemaArn"] == schema.arn:
            raise in_use(f"Schema {schema.arn} is used by {user.kind} {user.arn}.")
    context.store.delete(schema.arn)
    return {}


def create_dataset(context: Context, params: Params) -> dict[str, Any]:
    """Start to create a dataset; check its schema against its type and the group's domain."""
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
        # PutActionInteractions names its dataset by this id; the other types have trackers.
        "trackingId": str(uuid.uuid4()) if dataset_type == "ACTION_INTERACTIONS" else None,
    }
    return create(context, DATASET, arn, body, parent=group, params=params, internal={"parts": []})


def describe_dataset(context: Context, params: Params) -> dict[str, Any]:
    """Return a dataset with its latest update."""
    dataset = find(context, DATASET, params["datasetArn"])
    update = latest_update(context, DATASET_UPDATE, dataset)
    return {"dataset": {**dataset.body, "latestDatasetUpdate": update}}


def update_dataset(context: Context, params: Params) -> dict[str, Any]:
    """Start to replace the schema of Items or Users by one with additional nullable fields."""
    dataset = find_active(context, DATASET, params["datasetArn"])
    schema = find(context, SCHEMA, params["schemaArn"])
    if dataset.body["datasetType"] not in _WITH_NEW_SCHEMAS:
        raise invalid_input(
            f"The schema of a dataset of type {dataset.body['datasetType']} cannot be replaced:"
            f" only those of {' and '.join(_WITH_NEW_SCHEMAS)} can."
        )
    refuse_busy(context.store.select(DATASET_IMPORT_JOB.noun, parent_arn=dataset.arn))
    _check_schema(schema, dataset.body["datasetType"], find(context, DATASET_GROUP, str(dataset.parent_arn)))
    former = find(context, SCHEMA, dataset.body["schemaArn"])
    _check_growth(parse_schema(former.body["schema"]), parse_schema(schema.body["schema"]))
    start_update(context, DATASET_UPDATE, dataset, {"schemaArn": schema.arn})
    return {"datasetArn": dataset.arn}


def delete_dataset(context: Context, params: Params) -> dict[str, Any]:
    """Start to delete a dataset that no import, export or training is using."""
    dataset = find(context, DATASET, params["datasetArn"])
    refuse_updating(context, DATASET_UPDATE, dataset)
    for kind in (DATASET_IMPORT_JOB, DATASET_EXPORT_JOB):
        refuse_busy(context.store.select(kind.noun, parent_arn=dataset.arn))
    for solution in context.store.select(SOLUTION.noun, parent_arn=dataset.parent_arn):
        refuse_busy(context.store.select(SOLUTION_VERSION.noun, parent_arn=solution.arn))
    recommenders = context.store.select(RECOMMENDER.noun, parent_arn=dataset.parent_arn)
    refuse_busy(recommenders)
    for recommender in recommenders:
        refuse_updating(context, RECOMMENDER_UPDATE, recommender)
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


def _check_growth(former: DatasetSchema, new: DatasetSchema) -> None:
    by_name = {field.name: field for field in new.fields}
    for field in former.fields:
        if by_name.get(field.name) != field:
            raise invalid_input(f"The new schema must keep the field {field.name} as it is.")
    for field in new.fields:
        if field.name not in former.names and not field.nullable:
            raise invalid_input(f"The new field {field.name} must allow null.")


OPERATIONS = {
    "CreateDatasetGroup": create_dataset_group,
    "DeleteDatasetGroup": delete_dataset_group,
    **operations_of(DATASET_GROUP),
    "CreateSchema": create_schema,
    "DeleteSchema": delete_schema,
    **operations_of(SCHEMA),
    "CreateDataset": create_dataset,
    "DescribeDataset": describe_dataset,
    "ListDatasets": list_all(DATASET),
    "UpdateDataset": update_dataset,
    "DeleteDataset": delete_dataset,
}
