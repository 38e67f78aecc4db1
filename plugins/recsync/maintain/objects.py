"""Objects of one program on S3: which are in use, and the removal of the others."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from recsync.context import StageContext
from recsync.errors import FATAL
from recsync.imports.dataset_state import Held
from recsync.imports.full import late_window, reads_intervals
from recsync.imports.store import ImportState
from recsync.maintain.inventory import Inventory
from recsync.maintain.object_retention import InUse, Verdict, judge
from recsync.maintain.report import Entry, Report
from recsync.maintain.units import DELIVERIES, EXPORTS, RECOMMENDATIONS, Name, gather, name_of
from recsync.push.last_sent import LastSent
from recsync.push.store import Deliveries

log = logging.getLogger(__name__)


def survey(context: StageContext, now: datetime) -> tuple[list[Verdict], list[Entry]]:
    """Judge every object of the program.

    State is read after the listing: what becomes used in between is then known to be used.

    :returns: verdicts of the units, and objects that nothing of recsync writes there.
    """
    units, strangers = gather(Inventory(context.bucket, context.keys).everything())
    verdicts = judge(units, in_use(context), context.program.retention, now)
    unowned = [
        Entry("object", context.bucket.uri(each.key), "nothing of recsync writes there", each.size_bytes)
        for each in strangers
    ]
    return verdicts, unowned


def remove(context: StageContext, verdicts: Iterable[Verdict]) -> list[str]:
    """Remove what does not stay: everything that publishes first, so that nothing half-deleted is read.

    A run that dies in between leaves unpublished objects, which the next one finds and removes.

    :returns: what stays all the same, and why.
    """
    inventory = Inventory(context.bucket, context.keys)
    units = [verdict.unit for verdict in verdicts if not verdict.stays]
    rewritten = inventory.remove([stored for unit in units for stored in unit.manifests])
    again = {name_of(stored.key) for stored in rewritten}
    others = [stored for unit in units if unit.name not in again for stored in unit.others]
    rewritten += inventory.remove(others)
    return [f"{context.bucket.uri(each.key)} stays: it was written again just now" for each in rewritten]


def part_of_report(
    verdicts: Sequence[Verdict], unowned: list[Entry], program: str, run: str, *, dry_run: bool
) -> Report:
    """Write down the verdicts."""
    young = [v for v in verdicts if v.stays and "younger than" in v.why]
    used = [v for v in verdicts if v.stays and v not in young]
    return Report(
        program,
        run,
        dry_run,
        removed=tuple(_entry(v) for v in verdicts if not v.stays),
        stays=tuple(_entry(v) for v in used),
        young=dict(Counter(v.unit.name.room for v in young)),
        unowned=tuple(unowned),
    )


def in_use(context: StageContext) -> InUse:
    """Gather what state says about objects."""
    held = context.store(ImportState).read()
    named = {name: why for key, why in _named_by_imports(held, context) if (name := name_of(key))}
    named |= _named_by_deliveries(context)
    missing = [kind for kind in context.program.dataset_types if kind not in held.full]
    if reads_intervals(context):
        return InUse(named, None, "train_full.import_from: intervals reads every interval")
    if missing:
        return InUse(named, None, f"no FULL import of {missing[0].folder} has taken its rows yet")
    late = late_window(context)
    since = min(late.opens(last.until) for last in held.full.values())
    return InUse(named, since, "an import may still take rows of it, or compare rows with it")


def _named_by_imports(held: Held, context: StageContext) -> Iterator[tuple[str, str]]:
    for last in held.full.values():
        yield last.snapshot, "the last FULL import read it; later imports compare their rows with it"
    for keys in held.objects.values():
        for key in keys:
            yield key, "imported since the last FULL; later imports compare their rows with it"
    for interval in held.intervals:
        yield f"{context.keys.export_manifests}{interval}.json", "imported since the last FULL"
    program = f"{context.keys.program}/"
    for text in _texts(held.unfinished):
        # Keys, and URIs of the same.
        key = text.removeprefix(context.bucket.uri(""))
        if key.startswith(program):
            yield key, "an import that has not ended names it"


def _named_by_deliveries(context: StageContext) -> dict[Name, str]:
    state, _ = context.store(LastSent).read()
    named = {}
    if state.newest.run:
        named[Name(RECOMMENDATIONS, state.newest.run)] = "the newest recommendations that Braze was told of"
    delivery = state.open_delivery
    while delivery and Name(DELIVERIES, delivery) not in named:
        named[Name(DELIVERIES, delivery)] = "the delivery is not complete"
        try:
            plan = context.store(Deliveries).plan(delivery)
        except FATAL as error:
            log.warning("%s", error)
            break
        named[Name(RECOMMENDATIONS, plan.recommendations)] = f"the open delivery {delivery} sends them"
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


def _entry(verdict: Verdict) -> Entry:
    kind = "export" if verdict.unit.name.room == EXPORTS else verdict.unit.name.room
    return Entry(kind, verdict.unit.name.unit, verdict.why, verdict.unit.size_bytes)
