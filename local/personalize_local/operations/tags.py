"""Tag resources: TagResource, UntagResource, ListTagsForResource.

API: https://docs.aws.amazon.com/personalize/latest/dg/tagging-resources.html
"""

from __future__ import annotations

from typing import Any

from personalize_local.context import Context, Params
from personalize_local.errors import invalid_input, not_found, too_many_tags
from personalize_local.resources import Resource, region_of

TAGS_PER_RESOURCE = 50


def checked_tags(tags: list[dict[str, str]]) -> dict[str, str]:
    """Return request tags as a mapping; refuse duplicates, reserved keys and too many."""
    keys = [tag["tagKey"] for tag in tags]
    if len(set(keys)) != len(keys):
        raise invalid_input("Tag keys must be unique.")
    if any(key.lower().startswith("aws:") for key in keys):
        raise invalid_input("Tag keys must not begin with aws:.")
    return within_limit({tag["tagKey"]: tag["tagValue"] for tag in tags})


def within_limit(tags: dict[str, str]) -> dict[str, str]:
    """Return the tags; raise TooManyTagsException above the limit of one resource."""
    if len(tags) > TAGS_PER_RESOURCE:
        raise too_many_tags(f"A resource can have at most {TAGS_PER_RESOURCE} tags.")
    return tags


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
    """Remove tags; ignore keys that the resource does not have."""
    resource = _tagged(context, params)
    for key in params["tagKeys"]:
        resource.internal["tags"].pop(key, None)
    context.store.save(resource)
    return {}


def list_tags(context: Context, params: Params) -> dict[str, Any]:
    """Return all tags of a resource, without paging."""
    tags = _tagged(context, params).internal["tags"]
    return {"tags": [{"tagKey": key, "tagValue": value} for key, value in tags.items()]}


OPERATIONS = {
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
    "ListTagsForResource": list_tags,
}
