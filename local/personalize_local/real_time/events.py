"""Implement the operations of personalize-events: store streamed events, items, users and actions.

A call is accepted or refused as a whole. Accepted rows survive a kill, and the next training uses them.
API: https://docs.aws.amazon.com/personalize/latest/dg/API_Operations_Amazon_Personalize_Events.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from botocore.utils import parse_timestamp

from personalize_local.attribution import attribution_of, figures, items_for, send_to_cloudwatch
from personalize_local.datasets.avro import DatasetSchema
from personalize_local.errors import in_use, invalid_input, not_found
from personalize_local.real_time.context import Operation, Params, RealTimeContext
from personalize_local.real_time.log import StreamedRow
from personalize_local.real_time.properties import cells_of, read_properties
from personalize_local.resources import ACTIVE, DATASET, DELETING, EVENT_TRACKER, Resource

# https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MOST_EVENT_BYTES = 10 * 1024
# Keys that the properties of an event must not have (case-insensitive):
# https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_Event.html
_FORBIDDEN = frozenset({"userid", "sessionid", "eventtype", "timestamp", "recommendationid", "impression"})
# Event types are case-insensitive.
_ACTION_EVENTS = {name.lower(): name for name in ("Taken", "Not Taken", "Viewed")}


def put_events(context: RealTimeContext, params: Params) -> dict[str, Any]:
    """Store events of one session; without a userId the session id is the user id."""
    tracker = _tracker(context, params["trackingId"])
    dataset = context.rows.datasets(str(tracker.parent_arn)).get("INTERACTIONS")
    if dataset is None:
        raise invalid_input("The dataset group of the event tracker has no ACTIVE Interactions dataset.")
    schema = context.rows.schema(dataset)
    user_id = params.get("userId") or params["sessionId"]
    rows = [_event_row(event, user_id, schema) for event in params["eventList"]]
    context.streams.put(dataset, rows)
    _attribute(context, str(tracker.parent_arn), params["eventList"], rows)
    return {}


def _attribute(
    context: RealTimeContext, group_arn: str, events: list[Params], rows: list[StreamedRow]
) -> None:
    """Count events for the metric attribution; the source of an event needs no column in the schema."""
    attribution = attribution_of(context.store, group_arn)
    if attribution is None:
        return
    metrics = attribution.internal["metrics"]
    table = pa.Table.from_pylist(
        [
            {**row.cells, "EVENT_ATTRIBUTION_SOURCE": _source(event)}
            for row, event in zip(rows, events, strict=True)
        ]
    )
    found = figures(table, metrics, items_for(context.store, group_arn, metrics))
    send_to_cloudwatch(context.streams.root, attribution.body["name"], found, time.time())


def _source(event: Params) -> str | None:
    source: str | None = event.get("metricAttribution", {}).get("eventAttributionSource")
    return source


def put_action_interactions(context: RealTimeContext, params: Params) -> dict[str, Any]:
    """Store action interactions; the tracking id belongs to the Action_Interactions dataset."""
    dataset = _by_tracking_id(context, params["trackingId"])
    schema = context.rows.schema(dataset)
    rows = [_action_row(each, schema) for each in params["actionInteractions"]]
    context.streams.put(dataset, rows)
    return {}


def put_records(dataset_type: str, member: str, id_member: str, id_column: str) -> Operation:
    """Return PutItems, PutUsers or PutActions: a record replaces the one with the same id."""

    def operation(context: RealTimeContext, params: Params) -> dict[str, Any]:
        dataset = _dataset(context, params["datasetArn"], dataset_type)
        schema = context.rows.schema(dataset)
        rows = []
        for record in params[member]:
            given = {id_column: record[id_member]}
            cells = cells_of(schema, given, read_properties(record.get("properties")))
            rows.append(StreamedRow(record[id_member], cells))
        context.streams.put(dataset, rows)
        return {}

    return operation


def _event_row(event: Params, user_id: str, schema: DatasetSchema) -> StreamedRow:
    _check_size(event)
    properties = read_properties(event.get("properties"))
    forbidden = [key for key in properties if key.lower() in _FORBIDDEN]
    if forbidden:
        raise invalid_input(f"properties must not have the keys {', '.join(sorted(forbidden))}.")
    if "itemId" not in event and not properties.get("itemId"):
        raise invalid_input("itemId is required.")
    given = {
        "USER_ID": user_id,
        "ITEM_ID": event.get("itemId"),
        "TIMESTAMP": _seconds(event["sentAt"]),
        "EVENT_TYPE": event["eventType"],
        "EVENT_VALUE": event.get("eventValue"),
        "RECOMMENDATION_ID": event.get("recommendationId"),
        "IMPRESSION": "|".join(event["impression"]) if "impression" in event else None,
        "EVENT_ATTRIBUTION_SOURCE": _source(event),
    }
    # Members without a column in the schema are dropped.
    return StreamedRow(user_id, cells_of(schema, given, properties), event.get("eventId"))


def _action_row(action: Params, schema: DatasetSchema) -> StreamedRow:
    event_type = _ACTION_EVENTS.get(action["eventType"].lower())
    if event_type is None:
        raise invalid_input(f"eventType must be one of {', '.join(_ACTION_EVENTS.values())}.")
    user_id = action.get("userId") or action["sessionId"]
    given = {
        "USER_ID": user_id,
        "ACTION_ID": action["actionId"],
        "TIMESTAMP": _seconds(action["timestamp"]),
        "EVENT_TYPE": event_type,
        "RECOMMENDATION_ID": action.get("recommendationId"),
        "IMPRESSION": "|".join(action["impression"]) if "impression" in action else None,
    }
    cells = cells_of(schema, given, read_properties(action.get("properties")))
    return StreamedRow(user_id, cells, action.get("eventId"))


def _check_size(event: Params) -> None:
    if len(json.dumps(event, ensure_ascii=False).encode(errors="replace")) > _MOST_EVENT_BYTES:
        raise invalid_input(f"An event can have at most {_MOST_EVENT_BYTES} bytes.")


def _seconds(timestamp: float | str) -> int:
    # botocore parses numbers, too, although its stub does not allow them.
    return int(parse_timestamp(timestamp).timestamp())  # type: ignore[arg-type]


def _tracker(context: RealTimeContext, tracking_id: str) -> Resource:
    for tracker in context.store.select(EVENT_TRACKER.noun, region=context.region):
        if tracker.body["trackingId"] == tracking_id:
            if tracker.status != ACTIVE:
                raise invalid_input(f"The event tracker {tracker.arn} is not ACTIVE.")
            return tracker
    raise invalid_input(f"There is no event tracker with the tracking id {tracking_id}.")


def _by_tracking_id(context: RealTimeContext, tracking_id: str) -> Resource:
    for dataset in context.store.select(DATASET.noun, region=context.region):
        if dataset.body.get("trackingId") == tracking_id:
            return _accepting(dataset)
    raise not_found(tracking_id)


def _dataset(context: RealTimeContext, arn: str, dataset_type: str) -> Resource:
    dataset = _accepting(context.find(DATASET, arn))
    if dataset.body["datasetType"] != dataset_type:
        raise invalid_input(f"{arn} is a dataset of {dataset.body['datasetType']} and not {dataset_type}.")
    return dataset


def _accepting(dataset: Resource) -> Resource:
    if dataset.status in DELETING:
        raise in_use(f"Dataset {dataset.arn} is being deleted.")
    if dataset.status != ACTIVE:
        raise invalid_input(f"Dataset {dataset.arn} must be ACTIVE. Its status is {dataset.status}.")
    return dataset


OPERATIONS: dict[str, Callable[[RealTimeContext, Params], dict[str, Any]]] = {
    "PutEvents": put_events,
    "PutActionInteractions": put_action_interactions,
    "PutItems": put_records("ITEMS", "items", "itemId", "ITEM_ID"),
    "PutUsers": put_records("USERS", "users", "userId", "USER_ID"),
    "PutActions": put_records("ACTIONS", "actions", "actionId", "ACTION_ID"),
}
