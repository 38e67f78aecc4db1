"""Manage event trackers and metric attributions: one of each per dataset group.

What a metric attribution reports is computed in `personalize_local.attribution`.
API: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateEventTracker.html
"""

from __future__ import annotations

import re
import secrets
import uuid
from typing import Any

from personalize_local.attribution import SUM
from personalize_local.context import Context, Params
from personalize_local.datasets.avro import NUMERIC_TYPES, DatasetSchema
from personalize_local.errors import already_exists, invalid_input, not_found
from personalize_local.jobs.dataset_files import dataset_parts
from personalize_local.operations.common import (
    DEFAULT_PAGE_ITEMS,
    create,
    find,
    find_active,
    make_token,
    operations_of,
    read_token,
    start_delete,
)
from personalize_local.resources import DATASET_GROUP, EVENT_TRACKER, METRIC_ATTRIBUTION, now_seconds
from personalize_local.s3 import is_s3_uri

# Quota: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MOST_METRICS = 10
_SAMPLE_COUNT = re.compile(r"SAMPLECOUNT\(\s*\)", re.IGNORECASE)
Metrics = list[dict[str, str]]


def create_event_tracker(context: Context, params: Params) -> dict[str, Any]:
    """Start to create an event tracker; its ARN ends in 8 hex digits, not in its name."""
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
    """Start to delete an event tracker; its events stay in the dataset."""
    return start_delete(context, find(context, EVENT_TRACKER, params["eventTrackerArn"]))


def create_metric_attribution(context: Context, params: Params) -> dict[str, Any]:
    """Start to create a metric attribution; check its metrics against the schemas of the dataset group."""
    arn = context.arn(f"{METRIC_ATTRIBUTION.tail}/{params['name']}")
    if context.store.get(arn) is not None:
        raise already_exists(arn)
    group = find_active(context, DATASET_GROUP, params["datasetGroupArn"])
    _check_output(params["metricsOutputConfig"])
    _check_metrics(context, group.arn, params["metrics"])
    context.check_quota(METRIC_ATTRIBUTION, group)
    body = {key: params[key] for key in ("name", "datasetGroupArn", "metricsOutputConfig")}
    internal = {"metrics": params["metrics"]}
    return create(context, METRIC_ATTRIBUTION, arn, body, parent=group, params=params, internal=internal)


def update_metric_attribution(context: Context, params: Params) -> dict[str, Any]:
    """Remove metrics, add metrics, and change the output, in this order."""
    if "metricAttributionArn" not in params:
        raise invalid_input("metricAttributionArn is required.")
    found = find_active(context, METRIC_ATTRIBUTION, params["metricAttributionArn"])
    names = {metric["metricName"] for metric in found.internal["metrics"]}
    removed = set(params.get("removeMetrics", []))
    if removed - names:
        raise invalid_input(f"There is no metric {', '.join(sorted(removed - names))}.")
    kept = [metric for metric in found.internal["metrics"] if metric["metricName"] not in removed]
    added = params.get("addMetrics", [])
    for metric in added:
        if metric["metricName"] in names - removed:
            raise already_exists(f"{found.arn}/{metric['metricName']}")
    _check_metrics(context, str(found.parent_arn), kept + added)
    if "metricsOutputConfig" in params:
        _check_output(params["metricsOutputConfig"])
        found.body["metricsOutputConfig"] = params["metricsOutputConfig"]
    found.internal["metrics"] = kept + added
    found.body["lastUpdatedDateTime"] = now_seconds()
    context.store.save(found)
    return {"metricAttributionArn": found.arn}


def list_metrics(context: Context, params: Params) -> dict[str, Any]:
    """Return the metrics of a metric attribution, oldest first."""
    arn = params.get("metricAttributionArn")
    if arn is None:
        raise invalid_input("metricAttributionArn is required.")
    found = context.store.get(arn)
    if found is None or found.kind != METRIC_ATTRIBUTION.noun or found.region != context.region:
        # The operation's model declares no ResourceNotFoundException.
        raise invalid_input(not_found(arn).message)
    metrics: Metrics = found.internal["metrics"]
    key = f"ListMetricAttributionMetrics|{arn}"
    start = read_token(key, params.get("nextToken"))
    end = start + params.get("maxResults", DEFAULT_PAGE_ITEMS)
    return {"metrics": metrics[start:end], "nextToken": make_token(key, end) if end < len(metrics) else None}


def delete_metric_attribution(context: Context, params: Params) -> dict[str, Any]:
    """Start to delete a metric attribution."""
    return start_delete(context, find(context, METRIC_ATTRIBUTION, params["metricAttributionArn"]))


def _check_output(config: Params) -> None:
    destination = config.get("s3DataDestination")
    if destination and not is_s3_uri(destination["path"]):
        raise invalid_input("Invalid S3 output path")


def _check_metrics(context: Context, group_arn: str, metrics: Metrics) -> None:
    names = [metric["metricName"] for metric in metrics]
    if len(set(names)) < len(names):
        raise invalid_input("The names of metrics must be unique.")
    if len(metrics) > _MOST_METRICS:
        raise invalid_input(f"A metric attribution can have at most {_MOST_METRICS} metrics.")
    schemas = {kind: parts.schema for kind, parts in dataset_parts(context.store, group_arn).items()}
    for metric in metrics:
        _check_expression(metric["expression"], schemas)


def _check_expression(expression: str, schemas: dict[str, DatasetSchema]) -> None:
    if _SAMPLE_COUNT.fullmatch(expression):
        return
    match = SUM.fullmatch(expression)
    if match is None:
        raise invalid_input(f"{expression} is neither SAMPLECOUNT() nor SUM(DatasetType.COLUMN).")
    dataset_type, column = match.group(1).upper(), match.group(2)
    fields = schemas[dataset_type].fields if dataset_type in schemas else ()
    types = [field.type for field in fields if field.name == column]
    if not types or types[0] not in NUMERIC_TYPES:
        raise invalid_input(f"{expression}: {dataset_type} has no numeric column {column}.")


OPERATIONS = {
    "CreateEventTracker": create_event_tracker,
    "DeleteEventTracker": delete_event_tracker,
    **operations_of(EVENT_TRACKER),
    "CreateMetricAttribution": create_metric_attribution,
    "UpdateMetricAttribution": update_metric_attribution,
    "DeleteMetricAttribution": delete_metric_attribution,
    "ListMetricAttributionMetrics": list_metrics,
    **operations_of(METRIC_ATTRIBUTION),
}
