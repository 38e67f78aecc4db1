"""What an export is checked against: the ids of the other datasets, and what was exported before."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsync.context import StageContext
from recsync.export.dataset_export import DatasetExport
from recsync.export.report_store import Reports
from recsync.export.store import Manifest
from recsync.program import DatasetType
from recsync.program.intervals import Interval

Ids = NDArray[np.uint64]
_LAST_SNAPSHOTS = 4
_LAST_DAYS = 7


def known_ids(export: DatasetExport, last: Manifest | None) -> dict[DatasetType, Ids]:
    """Gather the hashed ids of users and items that interactions may name; what is not known is left out.

    A snapshot is compared with the snapshots of its own run; an interval with those of the last FULL, the intervals
    since, and its own.

    :param last: the last published snapshot.
    """
    if export.kind is not DatasetType.INTERACTIONS:
        return {}
    context = export.context
    others = [other for other in context.program.dataset_types if other is not DatasetType.INTERACTIONS]
    if export.full:
        own = {other: context.store(Reports).ids(_sibling(export, other)) for other in others}
        return {other: ids for other, ids in own.items() if ids is not None}
    return {other: _since(context, other, last) for other in others} if last else {}


def known_items(export: DatasetExport, last: Manifest | None) -> Ids | None:
    """Gather the hashed ids of the items of the last FULL; an item that is not among them is new."""
    if export.kind is not DatasetType.INTERACTIONS or last is None or DatasetType.ITEMS not in last.objects:
        return None
    return export.context.store(Reports).ids(last.objects[DatasetType.ITEMS].key)


def history_of(export: DatasetExport) -> list[dict[str, Any]]:
    """Read earlier reports to compare with, newest first: of the same time on the days before, or of snapshots."""
    reports, interval = export.context.store(Reports), export.interval
    if export.full:
        newest = reports.get_many(reports.full_reports(export.kind)[: _LAST_SNAPSHOTS + 1])
        return [report for report in newest if report["end"] < interval.end.isoformat()][:_LAST_SNAPSHOTS]
    length = interval.end - interval.start
    starts = [interval.start - timedelta(days=day) for day in range(1, _LAST_DAYS + 1)]
    keys = [export.context.keys.export(export.kind, Interval(start, start + length).key) for start in starts]
    return reports.get_many(map(reports.path_of, keys))


def _since(context: StageContext, kind: DatasetType, last: Manifest) -> Ids:
    parts = context.store(Reports).ids_since(kind, last.interval.end)
    snapshot = context.store(Reports).ids(last.objects[kind].key) if kind in last.objects else None
    return np.unique(
        np.concatenate([*parts, *([] if snapshot is None else [snapshot])] or [np.empty(0, np.uint64)])
    )


def _sibling(export: DatasetExport, other: DatasetType) -> str:
    return export.key.replace(f"/{export.kind.folder}.csv", f"/{other.folder}.csv")
