"""The objects of one program on S3: decide which to keep, and remove the others."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from recsync import settings
from recsync.context import StageContext
from recsync.errors import FATAL, RetriableError
from recsync.imports.dataset_state import DatasetState
from recsync.imports.full import late_window, reads_intervals
from recsync.imports.store import ImportStore
from recsync.maintain.report import MaintainReport, ReportEntry
from recsync.maintain.retention import (
    DELIVERIES,
    EXPORTS,
    RECOMMENDATIONS,
    InUse,
    ListedObject,
    RetentionDecision,
    Unit,
    UnitName,
    decide_objects,
    group_by_unit,
    unit_of,
)
from recsync.program.files import days_of_lists_needed, read_programs
from recsync.push.store import Deliveries, LastSent
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

log = logging.getLogger(__name__)

# https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html: 1,000 keys in one request
_BATCH_OBJECTS = 1_000


@dataclass(frozen=True)
class Inventory:
    """The objects of one program."""

    bucket: Bucket
    keys: Keys

    def objects(self, folder: str = "", *, first_level: bool = False) -> Iterator[ListedObject]:
        """List the objects in a folder, by default all of the program."""
        for entry in self.bucket.listed(folder or f"{self.keys.program}/", first_level=first_level):
            yield ListedObject(entry["Key"], entry["Size"], entry["LastModified"], entry["ETag"])

    def remove(self, objects: Sequence[ListedObject]) -> list[ListedObject]:
        """Remove objects that are unchanged since the listing; missing ones are no error.

        :returns: objects that were written since, such as an interval that was exported again; they are kept.
        :raises RetriableError: S3 refused some of them; the others are gone, and a retry removes the rest.
        """
        # A listing per folder costs one request for 1,000 objects; a look at each would cost 1,000.
        folders = {f"{listed.key.rpartition('/')[0]}/" for listed in objects}
        now = {o.key: o for folder in sorted(folders) for o in self.objects(folder, first_level=True)}
        rewritten = [listed for listed in objects if now.get(listed.key, listed) != listed]
        keys = [listed.key for listed in objects if listed not in rewritten]
        for start in range(0, len(keys), _BATCH_OBJECTS):
            batch = keys[start : start + _BATCH_OBJECTS]
            self._remove(batch)
            log.info("%d of %d objects are removed", start + len(batch), len(keys))
        return rewritten

    def _remove(self, keys: Iterable[str]) -> None:
        document = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        with self.bucket.errors(f"{self.keys.program}/"):
            answer = self.bucket.client.delete_objects(Bucket=self.bucket.name, Delete=document)
        if failed := answer.get("Errors"):
            first = failed[0]
            raise RetriableError(
                f"S3 did not remove {len(failed)} objects, the first {self.bucket.uri(first['Key'])}: "
                f"{first.get('Code')} {first.get('Message')}. The role needs s3:DeleteObject; a retry goes on."
            )


def survey(context: StageContext, now: datetime) -> tuple[list[RetentionDecision[Unit]], list[ReportEntry]]:
    """Decide about every object of the program.

    State is read after the listing, so that what becomes used in between is known to be used.

    :returns: decisions about the units, and the objects that recsync does not write.
    """
    units, orphans = group_by_unit(Inventory(context.bucket, context.keys).objects())
    decisions = decide_objects(units, in_use(context), context.program.retention, now)
    return decisions, [
        ReportEntry("object", context.bucket.uri(each.key), "recsync does not write there", each.size_bytes)
        for each in orphans
    ]


def remove(context: StageContext, decisions: Iterable[RetentionDecision[Unit]]) -> list[str]:
    """Remove the units that are not kept: manifests first, so that no reader meets a half-deleted unit.

    If this is interrupted, the next run finds unpublished objects, and removes them.

    :returns: the units that could not be removed, with reasons.
    """
    inventory = Inventory(context.bucket, context.keys)
    units = [decision.subject for decision in decisions if not decision.keep]
    rewritten = inventory.remove([listed for unit in units for listed in unit.manifests])
    again = {unit_of(listed.key) for listed in rewritten}
    rewritten += inventory.remove([o for unit in units if unit.name not in again for o in unit.others])
    return [f"{context.bucket.uri(each.key)} stays: it was written again just now" for each in rewritten]


def part_of_report(
    decisions: Sequence[RetentionDecision[Unit]],
    orphans: list[ReportEntry],
    program: str,
    run: str,
    *,
    dry_run: bool,
) -> MaintainReport:
    """Report the decisions."""
    recent = Counter(decision.subject.name.prefix for decision in decisions if decision.recent)
    return MaintainReport(
        program,
        run,
        dry_run,
        removed=tuple(_entry(decision) for decision in decisions if not decision.keep),
        kept=tuple(_entry(decision) for decision in decisions if decision.keep and not decision.recent),
        recent=dict(recent),
        orphans=tuple(orphans),
    )


def _entry(decision: RetentionDecision[Unit]) -> ReportEntry:
    prefix, unit = decision.subject.name
    kind = "export" if prefix == EXPORTS else prefix
    return ReportEntry(kind, unit, decision.why, decision.subject.size_bytes)


def in_use(context: StageContext) -> InUse:
    """Read from state which units are in use."""
    held = context.store(ImportStore).read()
    named = {name: why for key, why in _named_by_imports(held, context) if (name := unit_of(key))}
    named |= _named_by_deliveries(context)
    missing = [kind for kind in context.program.dataset_types if kind not in held.full]
    programs, _ = read_programs(settings.include_folder())
    days = days_of_lists_needed(programs.values(), context.program.name)
    if reads_intervals(context):
        return InUse(named, None, "train_full.import_from: intervals reads every interval", days)
    if missing:
        return InUse(named, None, f"no FULL import of {missing[0].folder} has taken its rows yet", days)
    window = late_window(context)
    since = min(window.opens(last.until) for last in held.full.values())
    return InUse(named, since, "an import may still take rows of it, or compare rows with it", days)


def _named_by_imports(held: DatasetState, context: StageContext) -> Iterator[tuple[str, str]]:
    for last in held.full.values():
        yield last.snapshot, "the last FULL import read it; later imports compare their rows with it"
    for keys in held.objects.values():
        for key in keys:
            yield key, "imported since the last FULL; later imports compare their rows with it"
    for interval in held.intervals:
        yield f"{context.keys.export_manifests}{interval}.json", "imported since the last FULL"
    program = f"{context.keys.program}/"
    for text in _texts(held.pending_imports and held.pending_imports.to_json()):
        # A key, or the URI of one.
        key = text.removeprefix(context.bucket.uri(""))
        if key.startswith(program):
            yield key, "an import that has not ended names it"


def _named_by_deliveries(context: StageContext) -> dict[UnitName, str]:
    state, _ = context.store(LastSent).read()
    named = {}
    if state.newest.run:
        named[UnitName(RECOMMENDATIONS, state.newest.run)] = (
            "the newest recommendations that Braze was told of"
        )
    delivery = state.open_delivery
    while delivery and UnitName(DELIVERIES, delivery) not in named:
        named[UnitName(DELIVERIES, delivery)] = "the delivery is not complete"
        try:
            plan = context.store(Deliveries).plan(delivery)
        except FATAL as error:
            log.warning("%s", error)
            break
        named[UnitName(RECOMMENDATIONS, plan.recommendations)] = f"the open delivery {delivery} sends them"
        delivery = plan.replay_of
    return named


def _texts(document: Any) -> Iterator[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict):
        for each in document.values():
            yield from _texts(each)
    elif isinstance(document, list | tuple):
        for each in document:
            yield from _texts(each)
