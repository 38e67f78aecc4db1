"""Publish what was exported: imports see it from now on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from recsync.core.intervals import Interval
from recsync.core.program import DatasetType
from recsync.stages.context import StageContext
from recsync.stages.export.spans import interval_of
from recsync.stores.exports import ExportedObject, Manifest


def publish_spans(
    program_name: str, spans: Sequence[dict[str, str]], exported: dict[str, Iterable[dict[str, Any] | None]]
) -> dict[str, Any]:
    """Publish every interval that a run exported.

    :param spans: the run's own interval first; see :mod:`recsync.stages.export.spans`.
    :param exported: dataset type -> objects, in any order.
    :returns: the figures of the run's own interval.
    """
    context = StageContext.of(program_name)
    found = {
        (kind, document["key"]): document
        for kind, documents in exported.items()
        for document in documents
        if document
    }
    figures = []
    for interval in map(interval_of, spans):
        keys = {kind: context.keys.export(DatasetType(kind), interval.key) for kind in exported}
        figures.append(
            publish_interval(context, interval, {kind: found[kind, key] for kind, key in keys.items()})
        )
    return figures[0]


def publish_interval(
    context: StageContext, interval: Interval, exported: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Publish the objects of one interval; imports see them from now on.

    :returns: the figures for the asset event: the interval and rows per dataset.
    """
    published = context.exports.publish_interval(manifest_of(interval, exported))
    rows = {kind.folder: exported.rows for kind, exported in published.objects.items()}
    return {"interval": interval.key, "rows": rows}


def manifest_of(interval: Interval, exported: dict[str, dict[str, Any]]) -> Manifest:
    """Build a manifest from what the export tasks returned (dataset type -> object)."""
    objects = {DatasetType(kind): ExportedObject.from_json(document) for kind, document in exported.items()}
    return Manifest(interval, objects)


def to_xcom(exported: ExportedObject) -> dict[str, Any]:
    """Write an object as plain values for XCom."""
    return asdict(exported)
