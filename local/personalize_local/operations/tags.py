"""Tag resources: TagResource, UntagResource, ListTagsForResource."""

from __future__ import annotations

from typing import Any

from personalize_local.arns import region_of
from personalize_local.context import Context, Params
from personalize_local.errors import not_found
from personalize_local.operations.tag_rules import checked_tags, within_limit
from personalize_local.resources import Resource


def _tagged(context: Context, params: Params) -> Resource:
    resource = context.store.get(params["resourceArn"])
    if resource is None or region_of(resource.arn) != context.region:
        raise not_found(params["resourceArn"])
    return resource


def tag_resource(context: Context, params: Params) -> dict[str, Any]:
    """Add tags or replace their values."""
    resource = _tagged(context, params)
    resource.internal["tags"] = within_limit({**resource.internal["tags"], **checked_tags(params["tags"])})
    context.store.save(resource)
    return {}


def untag_resource(context: Context, params: Params) -> dict[str, Any]:
    """Remove tags; keys the resource does not have are no error."""
    resource = _tagged(context, params)
    for key in params["tagKeys"]:
        resource.internal["tags"].pop(key, None)
    context.store.save(resource)
    return {}


def list_tags(context: Context, params: Params) -> dict[str, Any]:
    """Return all tags of a resource; this list is not paged."""
    tags = _tagged(context, params).internal["tags"]
    return {"tags": [{"tagKey": key, "tagValue": value} for key, value in tags.items()]}


OPERATIONS = {
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
    "ListTagsForResource": list_tags,
}
