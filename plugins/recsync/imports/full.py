"""Plan a FULL import: of a fresh snapshot per dataset, or of the interactions of all published intervals."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import datetime
from typing import Any

from recsync.context import StageContext
from recsync.errors import FatalError, RetriableError
from recsync.export.checks.dataset_rules import MIN_INTERACTIONS
from recsync.export.manifest import ExportedObject, Manifest
from recsync.export.publish import manifest_of
from recsync.export.store import THREADS, ExportStore
from recsync.imports.dataset_state import Late
from recsync.imports.new_rows import check_chain
from recsync.imports.plans import FullPlan
from recsync.imports.store import reconcile
from recsync.program import DatasetType, names
from recsync.program.intervals import EPOCH, Interval, floor_tick

log = logging.getLogger(__name__)

_EVENTS = DatasetType.INTERACTIONS
_PROGRESS_OBJECTS = 1_000


def plan_full(program_name: str, run_id: str, created_at: datetime, until: datetime | None) -> dict[str, Any]:
    """Fix what a FULL run does, so that each retry does the same.

    :param until: end of the data, cut to a boundary of export intervals; None means the last one before the run.
    :returns: JSON of the :class:`FullPlan`.
    """
    context = StageContext.of(program_name)
    if running := reconcile(context):
        raise RetriableError(
            f"An import of an earlier run is under way: {', '.join(running)}. It must end first."
        )
    program = context.program
    run = names.run_key(run_id, created_at.isoformat())
    end = floor_tick(until or created_at, program.schedules.export_intervals)
    if reads_intervals(context):
        end = _chain(context, end)[-1].interval.end
    keys = {kind: context.keys.full(run, kind) for kind in program.dataset_types}
    return FullPlan(run, end, keys, _known(context, end)).to_json()


def reads_intervals(context: StageContext) -> bool:
    """Return whether interactions come from the published intervals."""
    return context.program.train_full.import_from == "intervals"


def late_window(context: StageContext) -> Late:
    """Return how long an interval may still change."""
    return Late(context.program.schedules.export_intervals, context.program.exports.overlap_intervals)


def _known(context: StageContext, end: datetime) -> dict[DatasetType, dict[str, str]]:
    """Return the published objects that a later snapshot includes: dataset -> interval -> digest.

    Only objects that an export may still change matter. Rows of an imported folder are compared with the folder.
    """
    opens = late_window(context).opens(end)
    manifests = [m for m in context.store(ExportStore).intervals_since(opens) if m.interval.end <= end]
    kinds = [k for k in context.program.dataset_types if not (k is _EVENTS and reads_intervals(context))]
    return {
        kind: {m.interval.key: m.objects[kind].digest for m in manifests if kind in m.objects}
        for kind in kinds
    }


def gather_intervals(program_name: str, plan: dict[str, Any]) -> dict[str, Any]:
    """Copy the interactions of all published intervals into one folder, which a FULL import reads.

    Exports go on writing their own folder while the import reads.

    :returns: the folder as an exported object, for the snapshot's manifest.
    """
    context = StageContext.of(program_name)
    manifests = _chain(context, datetime.fromisoformat(plan["until"]))
    sources = [m for m in manifests if m.objects[_EVENTS].rows]
    rows = sum(m.objects[_EVENTS].rows for m in sources)
    if rows < MIN_INTERACTIONS:
        raise FatalError(
            f"The published intervals hold {rows} interactions; Amazon Personalize trains on at least "
            f"{MIN_INTERACTIONS}. Backfill the export, or set train_full.import_from to snapshot."
        )
    digest = hashlib.blake2b(digest_size=16)
    for manifest in sources:
        digest.update(manifest.objects[_EVENTS].digest.encode())
    # Other content gets another folder: import objects that the state names are never overwritten.
    folder = context.keys.import_folder(f"{plan['run']}-{digest.hexdigest()[:8]}", _EVENTS)
    _copy(context, sources, folder)
    size_bytes = sum(m.objects[_EVENTS].size_bytes for m in sources)
    log.info(
        "%d intervals with %d interactions (%d bytes) are one FULL import", len(sources), rows, size_bytes
    )
    return asdict(ExportedObject(folder, rows, size_bytes, digest.hexdigest(), etag=""))


def _chain(context: StageContext, end: datetime) -> list[Manifest]:
    """Read the published intervals before ``end``."""
    published = context.store(ExportStore).intervals_since(EPOCH)
    manifests = [m for m in published if m.interval.end <= end and _EVENTS in m.objects]
    if not manifests:
        raise FatalError(
            f"No interval before {end.isoformat()} is published. Run {context.program.name}_export or backfill it, or "
            "set train_full.import_from to snapshot."
        )
    check_chain(manifests)
    return manifests


def _copy(context: StageContext, manifests: Sequence[Manifest], folder: str) -> None:
    exports = context.store(ExportStore)
    exports.verify(manifests)

    def copy(manifest: Manifest) -> None:
        exports.copy(manifest.objects[_EVENTS], f"{folder}{manifest.interval.key}.csv")

    with ThreadPoolExecutor(THREADS) as threads:
        for number, _ in enumerate(threads.map(copy, manifests), 1):
            if number % _PROGRESS_OBJECTS == 0:
                log.info("%d of %d intervals are gathered", number, len(manifests))


def publish_full(
    program_name: str, plan: dict[str, Any], exported: dict[str, dict[str, Any]]
) -> dict[str, int]:
    """Publish a full snapshot, once every dataset passed its checks.

    :returns: rows per dataset.
    """
    interval = Interval.until(datetime.fromisoformat(plan["until"]))
    StageContext.of(program_name).store(ExportStore).publish_full(
        plan["run"], manifest_of(interval, exported)
    )
    return {kind.lower(): document["rows"] for kind, document in exported.items()}
