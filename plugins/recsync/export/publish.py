"""Publish what was exported: imports see it from now on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from recsync.context import StageContext
from recsync.export.spans import interval_of
from recsync.export.store import ExportedObject, Exports, Manifest
from recsync.program import DatasetType
from recsync.program.intervals import Interval

log = logging.getLogger(__name__)


def publish_spans(
    program_name: str, spans: Sequence[dict[str, Any]], exported: dict[str, Iterable[dict[str, Any] | None]]
) -> dict[str, Any]:
    """Publish every interval that a run exported.

    An optional interval of which a check stopped a dataset keeps what is published of that dataset; one that was never
    published waits for a later run.

    :param spans: the run's own interval first; see :mod:`recsync.export.spans`.
    :param exported: dataset type -> objects, in any order.
    :returns: the figures of the run's own interval.
    """
    context = StageContext.of(program_name)
    found: dict[tuple[str, str], dict[str, Any]] = {
        (kind, document["key"]): document
        for kind, documents in exported.items()
        for document in documents
        if document
    }
    figures = []
    for span in spans:
        interval = interval_of(span)
        keys = {kind: context.keys.export(DatasetType(kind), interval.key) for kind in exported}
        objects = {kind: found[kind, key] for kind, key in keys.items() if (kind, key) in found}
        if stopped := sorted(keys.keys() - objects.keys()):
            log.warning("%s of %s was stopped; see the log of its export.", ", ".join(stopped), interval.key)
            former = context.store(Exports).interval(interval.key)
            if former is None:
                continue
            kept = {kind.value: to_xcom(each) for kind, each in former.objects.items()}
            objects = {**kept, **objects}
        figures.append(publish_interval(context, interval, objects))
    return figures[0]


def publish_interval(
    context: StageContext, interval: Interval, exported: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Publish the objects of one interval; imports see them from now on.

    :returns: the figures for the asset event: the interval and rows per dataset.
    """
    published = context.store(Exports).publish_interval(manifest_of(interval, exported))
    rows = {kind.folder: exported.rows for kind, exported in published.objects.items()}
    return {"interval": interval.key, "rows": rows}


def manifest_of(interval: Interval, exported: dict[str, dict[str, Any]]) -> Manifest:
    """Build a manifest from what the export tasks returned (dataset type -> object)."""
    objects = {DatasetType(kind): ExportedObject.from_json(document) for kind, document in exported.items()}
    return Manifest(interval, objects)


def to_xcom(exported: ExportedObject) -> dict[str, Any]:
    """Write an object as plain values for XCom."""
    return asdict(exported)
