"""Manage schemas, which have no status: they are there at once and gone at once.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateSchema.html
"""

from __future__ import annotations

from typing import Any

from personalize_local.context import Context, Params
from personalize_local.datasets.avro import parse_schema
from personalize_local.errors import already_exists, in_use
from personalize_local.operations.common import create, find, operations_of
from personalize_local.resources import CREATING, DATASET, DATASET_UPDATE, SCHEMA


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


OPERATIONS = {"CreateSchema": create_schema, "DeleteSchema": delete_schema, **operations_of(SCHEMA)}
