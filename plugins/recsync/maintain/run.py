"""One maintain run: objects, then resources, then the report; every step may be repeated."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from airflow_personalize.hooks.personalize import PersonalizeHook
from recsync.context import StageContext
from recsync.errors import RETRIABLE
from recsync.maintain import objects, resources
from recsync.maintain.account import Account
from recsync.maintain.orphans import idle_campaigns, unowned
from recsync.maintain.report import Entry, Report

log = logging.getLogger(__name__)

_OBJECTS, _RESOURCES = "objects", "resources"


def keep_objects(program: str, run: str, now: datetime, *, dry_run: bool) -> dict[str, int]:
    """Remove the objects that nothing needs any more.

    :param dry_run: only say which.
    :returns: units removed, or to be removed, and their bytes.
    """
    context = StageContext.of(program)
    verdicts, strangers = objects.survey(context, now)
    part = objects.part_of_report(verdicts, strangers, program, run, dry_run=dry_run)
    part = _noted(context, run, _OBJECTS, part)
    if not dry_run:
        part = replace(part, left=tuple(objects.remove(context, verdicts)))
        _write(context, run, _OBJECTS, part)
    return {"removed": len(part.removed), "bytes": sum(entry.size_bytes or 0 for entry in part.removed)}


def keep_resources(
    program: str,
    run: str,
    now: datetime,
    *,
    dry_run: bool,
    hold: Callable[[], None],
    recommending: Callable[[str], bool],
) -> dict[str, int]:
    """Remove the solutions, filters and schemas that nothing needs any more.

    :param hold: takes the dataset group's lease, or raises RetriableError when another run has it.
    :param recommending: says whether a recommend run of a program is at work.
    :returns: resources removed, or to be removed.
    """
    context = StageContext.of(program)
    busy = None if dry_run else _busy(hold)
    account = Account(context.program, PersonalizeHook(aws_conn_id=context.program.aws))
    judged = resources.survey(context, account, now)
    part = Report(
        program,
        run,
        dry_run,
        removed=() if busy else tuple(entry for each in judged for entry in each.entries(stay=False)),
        stays=tuple(e for each in judged for e in each.entries(stay=True) if "less than" not in e.why),
        young=dict(
            Counter(e.kind for each in judged for e in each.entries(stay=True) if "less than" in e.why)
        ),
        unowned=tuple(unowned(account)),
        idle=tuple(idle_campaigns(account, now, recommending=recommending)),
        counts=_counts(account),
        left=(busy,) if busy else (),
    )
    part = _noted(context, run, _RESOURCES, part)
    if not (dry_run or busy):
        left, stayed = resources.remove(account.hook, judged)
        removed = tuple(entry for entry in part.removed if entry.name not in stayed)
        part = replace(part, left=tuple(left), removed=removed)
        _write(context, run, _RESOURCES, part)
    return {"removed": len(part.removed)}


def report(program: str, run: str) -> str:
    """Put both parts together, keep them as one report, and log it.

    :returns: where the report lies.
    """
    context = StageContext.of(program)
    parts = [_read(context, run, name) for name in (_OBJECTS, _RESOURCES)]
    found = [part for part in parts if part]
    whole = Report(
        program,
        run,
        any(part.dry_run for part in found),
        removed=tuple(entry for part in found for entry in part.removed),
        stays=tuple(entry for part in found for entry in part.stays),
        young={kind: number for part in found for kind, number in part.young.items()},
        unowned=tuple(entry for part in found for entry in part.unowned),
        idle=tuple(entry for part in found for entry in part.idle),
        counts={name: number for part in found for name, number in part.counts.items()},
        left=tuple(line for part in found for line in part.left),
    )
    _write(context, run, "report", whole)
    log.info("%s", whole.text())
    for line in whole.nearly_full:
        log.warning("%s: %s; the quota is nearly used up", program, line)
    return context.bucket.uri(context.keys.maintenance(run, "report"))


def _busy(hold: Callable[[], None]) -> str | None:
    try:
        hold()
    except RETRIABLE as error:
        return f"Resources stay until the next run: {error}"
    return None


def _counts(account: Account) -> dict[str, int]:
    # Those of the account, and those of the program's dataset group, which have their quotas there.
    solutions = {each.arn.rsplit("/", 1)[-1] for each in account.solutions}
    serving = [c for c in account.campaigns if c["solutionVersionArn"].split("/")[1] in solutions]
    return {
        "dataset groups": len(account.groups),
        "schemas": len(account.schemas),
        "solutions": len(account.solutions),
        "filters": len(account.filters),
        "campaigns": len(serving),
    }


def _noted(context: StageContext, run: str, name: str, part: Report) -> Report:
    """Write a part down before anything is removed; what a former try of this run removed stays in it."""
    if former := _read(context, run, name):
        part = replace(part, removed=tuple(dict.fromkeys([*former.removed, *part.removed])))
    _write(context, run, name, part)
    return part


def _write(context: StageContext, run: str, name: str, part: Report) -> None:
    context.bucket.put_json(context.keys.maintenance(run, name), part.to_json())


def _read(context: StageContext, run: str, name: str) -> Report | None:
    document: dict[str, Any] | None = context.bucket.get_json(context.keys.maintenance(run, name))
    if document is None:
        return None
    lists = {
        member: tuple(Entry(**entry) for entry in document[member])
        for member in ("removed", "stays", "unowned", "idle")
    }
    return Report(**{**document, **lists, "left": tuple(document["left"])})
