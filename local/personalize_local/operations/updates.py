"""Start updates, which leave their resource ACTIVE and show their own states in `latest<noun>Update`."""

from __future__ import annotations

import secrets
from typing import Any

from personalize_local.context import Context, Params
from personalize_local.errors import in_use
from personalize_local.operations.common import create
from personalize_local.resources import CREATING, Kind, Resource


def start_update(context: Context, kind: Kind, parent: Resource, body: Params) -> None:
    """Let a job carry an update out; refuse a second one at the same time."""
    for former in context.store.select(kind.noun, parent_arn=parent.arn):
        if former.status in CREATING:
            raise in_use(f"{parent.kind} {parent.arn} is being updated.")
        context.store.delete(former.arn)
    arn = f"{parent.arn}#{kind.tail}-{secrets.token_hex(4)}"
    create(context, kind, arn, body, parent=parent)


def latest_update(context: Context, kind: Kind, parent: Resource) -> dict[str, Any] | None:
    """Return the body of the newest update, if there was one."""
    updates = context.store.select(kind.noun, parent_arn=parent.arn)
    return updates[-1].body if updates else None


def refuse_updating(context: Context, kind: Kind, parent: Resource) -> None:
    """Raise ResourceInUseException while an update is going on."""
    if context.store.select(kind.noun, parent_arn=parent.arn, statuses=CREATING):
        raise in_use(f"{parent.kind} {parent.arn} is being updated.")
