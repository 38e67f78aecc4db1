"""Shared parts of the operations: paging, create, describe, list, delete, update."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from typing import Any

from personalize_local.context import Context, Operation, Params
from personalize_local.errors import already_exists, in_use, invalid_input, invalid_next_token, not_found
from personalize_local.operations.tags import checked_tags
from personalize_local.recipes import Recipe, number_in
from personalize_local.resources import (
    ACTIVE,
    CREATE_STOPPING,
    CREATING,
    DELETE_PENDING,
    DELETING,
    TRANSITIONS,
    Kind,
    Resource,
    now_seconds,
    region_of,
)

# https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-new-item-USER_PERSONALIZATION.html
_EXPLORATION_RANGES = {"explorationWeight": (0.0, 1.0), "explorationItemAgeCutOff": (1.0, float("inf"))}
DEFAULT_PAGE_ITEMS = 100  # the service's default and maximum of maxResults


def make_token(list_key: str, last: int) -> str:
    """Return the token of the page after number `last` of one list."""
    text = json.dumps({"last": last, "list": _digest(list_key), "check": _digest(f"{list_key}|{last}")})
    return base64.urlsafe_b64encode(text.encode()).decode()


def read_token(list_key: str, token: str | None) -> int:
    """Return the number of the last item of the previous page, 0 without a token; refuse tokens of other lists."""
    if token is None:
        return 0
    try:
        content = json.loads(base64.urlsafe_b64decode(token.encode()))
        last = int(content["last"])
        genuine = content["list"] == _digest(list_key) and content["check"] == _digest(f"{list_key}|{last}")
    except (ValueError, KeyError, TypeError) as error:
        raise invalid_next_token() from error
    if not genuine:
        raise invalid_next_token()
    return last


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def find(context: Context, kind: Kind, arn: str) -> Resource:
    """Return a resource of this kind in the caller's region; raise ResourceNotFoundException."""
    resource = context.store.get(arn)
    if resource is None or resource.kind != kind.noun or region_of(arn) != context.region:
        raise not_found(arn)
    return resource


def find_active(context: Context, kind: Kind, arn: str) -> Resource:
    """Return a resource in state ACTIVE; refuse any other state."""
    resource = find(context, kind, arn)
    if resource.status in DELETING and context.declares("ResourceInUseException"):
        raise in_use(f"{kind.noun} {arn} is being deleted.")
    if resource.status != ACTIVE:
        raise invalid_input(f"{kind.noun} {arn} must be ACTIVE. Its status is {resource.status}.")
    return resource


def create(
    context: Context,
    kind: Kind,
    arn: str,
    body: Params,
    *,
    parent: Resource | None = None,
    params: Params | None = None,
    internal: Params | None = None,
    moves: bool = True,
) -> dict[str, Any]:
    """Store a new resource and return its ARN; with `moves=False` it has no states and no job."""
    if context.store.get(arn) is not None:
        raise already_exists(arn)
    created = now_seconds()
    body = {**body, kind.arn_member: arn, "creationDateTime": created, "lastUpdatedDateTime": created}
    tags = checked_tags((params or {}).get("tags", []))
    parent_arn = parent.arn if parent else None
    resource = Resource(arn, kind.noun, context.region, parent_arn, body, {**(internal or {}), "tags": tags})
    if moves:
        body["status"] = kind.states.pending
        context.submit(resource)
    context.store.insert(resource)
    return {kind.arn_member: arn}


def describe(kind: Kind) -> Operation:
    """Return the operation Describe<noun>."""

    def operation(context: Context, params: Params) -> dict[str, Any]:
        return {kind.describe_member: find(context, kind, params[kind.arn_member]).body}

    return operation


def list_all(kind: Kind) -> Operation:
    """Return the operation List<noun>s: oldest first, filtered by the parent's ARN if given."""

    def operation(context: Context, params: Params) -> dict[str, Any]:
        parent_arn = params.get(kind.parent_member) if kind.parent_member else None
        if (
            parent_arn
            and context.store.get(parent_arn) is None
            and context.declares("ResourceNotFoundException")
        ):
            raise not_found(parent_arn)
        key = f"{context.operation.name}|{context.region}|{parent_arn}"
        page_items = params.get("maxResults", DEFAULT_PAGE_ITEMS)
        found = context.store.select(
            kind.noun,
            region=context.region,
            parent_arn=parent_arn,
            after_sequence=read_token(key, params.get("nextToken")),
            limit=page_items + 1,
        )
        page = found[:page_items]
        more = len(found) > page_items
        token = make_token(key, page[-1].sequence) if more else None
        return {kind.list_member: [resource.body for resource in page], "nextToken": token}

    return operation


def start_delete(context: Context, resource: Resource) -> dict[str, Any]:
    """Start the deletion of a resource; refuse while it is being created or deleted."""
    if resource.status in (*CREATING, *TRANSITIONS, *DELETING):
        raise in_use(f"{resource.kind} {resource.arn} cannot be deleted while it is in {resource.status}.")
    resource.move_to(DELETE_PENDING)
    context.store.save(resource)
    context.submit(resource)
    return {}


def refuse_children(context: Context, parent: Resource, *kinds: Kind) -> None:
    """Raise ResourceInUseException when the parent still has resources of these kinds."""
    for kind in kinds:
        children = context.store.select(kind.noun, parent_arn=parent.arn)
        if children:
            raise in_use(f"{parent.kind} {parent.arn} is used by {kind.noun} {children[0].arn}.")


def refuse_busy(resources: list[Resource]) -> None:
    """Raise ResourceInUseException when one of these jobs is in progress."""
    for resource in resources:
        if resource.status in (*CREATING, CREATE_STOPPING):
            raise in_use(f"{resource.kind} {resource.arn} is in {resource.status}.")


def check_inference_config(config: Params, recipe: Recipe) -> None:
    """Check `rankingInfluence` and `itemExplorationConfig` of a campaign or batch inference job."""
    # The shape bounds the influences: POPULARITY and FRESHNESS from 0 to 1.
    if config.get("rankingInfluence") and not recipe.influence:
        raise invalid_input(f"rankingInfluence is not supported by the recipe {recipe.name}.")
    exploration = config.get("itemExplorationConfig")
    if exploration and not recipe.exploration:
        raise invalid_input(f"itemExplorationConfig is not supported by the recipe {recipe.name}.")
    for name, text in (exploration or {}).items():
        if name not in _EXPLORATION_RANGES:
            raise invalid_input(f"Unknown itemExplorationConfig parameter {name}.")
        low, high = _EXPLORATION_RANGES[name]
        number = number_in(text)
        if number is None or not low <= number <= high:
            raise invalid_input(f"{name} must be a number in [{low:g}, {high:g}], not {text}.")


def operations_of(kind: Kind) -> dict[str, Operation]:
    """Return Describe and List of a kind under their names."""
    return {f"Describe{kind.noun}": describe(kind), f"List{kind.noun}s": list_all(kind)}


def start_update(context: Context, kind: Kind, parent: Resource, body: Params) -> None:
    """Start an update; refuse while another one is in progress."""
    for former in context.store.select(kind.noun, parent_arn=parent.arn):
        if former.status in CREATING:
            raise in_use(f"{parent.kind} {parent.arn} is being updated.")
        context.store.delete(former.arn)
    arn = f"{parent.arn}#{kind.tail}-{secrets.token_hex(4)}"
    create(context, kind, arn, body, parent=parent)


def latest_update(context: Context, kind: Kind, parent: Resource) -> dict[str, Any] | None:
    """Return the body of the newest update, if there is one."""
    updates = context.store.select(kind.noun, parent_arn=parent.arn)
    return updates[-1].body if updates else None


def refuse_updating(context: Context, kind: Kind, parent: Resource) -> None:
    """Raise ResourceInUseException while an update is in progress."""
    if context.store.select(kind.noun, parent_arn=parent.arn, statuses=CREATING):
        raise in_use(f"{parent.kind} {parent.arn} is being updated.")
