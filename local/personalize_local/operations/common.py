"""Hold what every kind of resource does alike: create, look up, describe, list, start to delete."""

from __future__ import annotations

from typing import Any

from personalize_local.arns import region_of
from personalize_local.context import Context, Operation, Params
from personalize_local.errors import already_exists, in_use, invalid_input, not_found
from personalize_local.operations.tag_rules import checked_tags
from personalize_local.paging import DEFAULT_PAGE_ITEMS, make_token, read_token
from personalize_local.resources import (
    ACTIVE,
    CREATE_STOPPING,
    CREATING,
    DELETE_PENDING,
    DELETING,
    Kind,
    Resource,
    now_seconds,
)


def find(context: Context, kind: Kind, arn: str) -> Resource:
    """Return a resource of this kind in the caller's region; raise ResourceNotFoundException."""
    resource = context.store.get(arn)
    if resource is None or resource.kind != kind.noun or region_of(arn) != context.region:
        raise not_found(arn)
    return resource


def find_active(context: Context, kind: Kind, arn: str) -> Resource:
    """Return a parent in state ACTIVE; refuse one that is being made, has failed or is being deleted."""
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
    """Store a new resource and answer with its ARN; unless it `moves`, it has no states and no job."""
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
    """Return the operation List<noun>s: oldest first, narrowed by the parent's ARN where there is one."""

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


def _check_exists(context: Context, arn: str) -> None:
    if context.store.get(arn) is None:
        raise not_found(arn)


def start_delete(context: Context, resource: Resource) -> dict[str, Any]:
    """Let a job delete the resource; refuse while it is still being made or already being deleted."""
    if resource.status in (*CREATING, *DELETING):
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
    """Raise ResourceInUseException when one of these jobs is still going on."""
    for resource in resources:
        if resource.status in (*CREATING, CREATE_STOPPING):
            raise in_use(f"{resource.kind} {resource.arn} is in {resource.status}.")


def operations_of(kind: Kind) -> dict[str, Operation]:
    """Return Describe and List of a kind under their names."""
    return {f"Describe{kind.noun}": describe(kind), f"List{kind.noun}s": list_all(kind)}
