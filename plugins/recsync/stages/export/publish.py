"""Publish what was exported: imports see it from now on."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from recsync.core.intervals import Interval
from recsync.core.program import DatasetType
from recsync.stages.context import StageContext
from recsync.stores.exports import ExportedObject, Manifest


def publish_interval(
    program_name: str, interval: Interval, exported: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Publish the objects of one interval; imports see them from now on.

    :returns: the figures for the asset event: the interval and rows per dataset.
    """
    context = StageContext.of(program_name)
    context.exports.publish_interval(manifest_of(interval, exported))
    rows = {kind.lower(): document["rows"] for kind, document in exported.items()}
    return {"interval": interval.key, "rows": rows}


def manifest_of(interval: Interval, exported: dict[str, dict[str, Any]]) -> Manifest:
    """Build a manifest from what the export tasks returned (dataset type -> object)."""
    objects = {DatasetType(kind): ExportedObject.from_json(document) for kind, document in exported.items()}
    return Manifest(interval, objects)


def to_xcom(exported: ExportedObject) -> dict[str, Any]:
    """Write an object as plain values for XCom."""
    return asdict(exported)
