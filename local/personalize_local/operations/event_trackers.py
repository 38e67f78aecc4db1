"""Manage event trackers: one per dataset group, which gives out the id that PutEvents is sent with.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateEventTracker.html
"""

from __future__ import annotations

import secrets
import uuid
from typing import Any

from personalize_local.context import Context, Params
from personalize_local.errors import already_exists
from personalize_local.operations.common import create, find, find_active, operations_of, start_delete
from personalize_local.resources import DATASET_GROUP, EVENT_TRACKER


def create_event_tracker(context: Context, params: Params) -> dict[str, Any]:
    """Start to create an event tracker; its ARN ends in 8 hex digits and not in its name."""
    for other in context.store.select(EVENT_TRACKER.noun, region=context.region):
        if other.body["name"] == params["name"]:
            raise already_exists(other.arn)
    group = find_active(context, DATASET_GROUP, params["datasetGroupArn"])
    context.check_quota(EVENT_TRACKER, group)
    body = {
        "name": params["name"],
        "accountId": context.account,
        "trackingId": str(uuid.uuid4()),
        "datasetGroupArn": group.arn,
    }
    arn = context.arn(f"{EVENT_TRACKER.tail}/{secrets.token_hex(4)}")
    created = create(context, EVENT_TRACKER, arn, body, parent=group, params=params)
    return {**created, "trackingId": body["trackingId"]}


def delete_event_tracker(context: Context, params: Params) -> dict[str, Any]:
    """Start to delete an event tracker; the events that it took stay in the dataset."""
    return start_delete(context, find(context, EVENT_TRACKER, params["eventTrackerArn"]))


OPERATIONS = {
    "CreateEventTracker": create_event_tracker,
    "DeleteEventTracker": delete_event_tracker,
    **operations_of(EVENT_TRACKER),
}
