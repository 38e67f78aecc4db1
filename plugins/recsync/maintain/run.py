"""One maintain run: objects, then resources, then its report as JSON and as text. Every step may be repeated."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from airflow_personalize.hooks.personalize import PersonalizeHook
from recsync.attribution.reports import attribution_reports, summary_lines
from recsync.context import StageContext
from recsync.errors import FATAL, RETRIABLE
from recsync.experiments.enrolment import end_missing_experiments
from recsync.experiments.store import OwnExperiment, own_experiments, remove_experiment
from recsync.maintain import objects, resources
from recsync.maintain.report import MaintainReport, ReportEntry
from recsync.maintain.retention import RetentionDecision

log = logging.getLogger(__name__)

_OBJECTS, _RESOURCES, _EXPERIMENT = "objects", "resources", "experiment"


def remove_objects(program: str, run: str, now: datetime, *, dry_run: bool) -> dict[str, int]:
    """Remove the objects that nothing needs any more.

    :param dry_run: only report them.
    :returns: units removed, or to be removed, and their bytes.
    """
    context = StageContext.of(program)
    decisions, orphans = objects.survey(context, now)
    ended = _survey_experiments(context, run, now, dry_run=dry_run)
    part = objects.part_of_report(decisions, orphans, program, run, dry_run=dry_run)
    part = _with_experiments(part, ended)
    part = _write_joined(context, _OBJECTS, part)
    if not dry_run:
        for each in ended:
            if not each.keep:
                remove_experiment(context, each.subject)
        part = replace(part, left=tuple(objects.remove(context, decisions)))
        _write(context, _OBJECTS, part)
    return {"removed": len(part.removed), "bytes": sum(entry.size_bytes or 0 for entry in part.removed)}


def remove_resources(
    program: str,
    run: str,
    now: datetime,
    *,
    dry_run: bool,
    lock: Callable[[], None],
    is_recommending: Callable[[str], bool],
) -> dict[str, int]:
    """Remove the solutions, filters and schemas that nothing needs any more.

    :param lock: takes the lock of the dataset group, or raises RetriableError when another run has it.
    :param is_recommending: returns whether a recommend run of a program is active.
    :returns: resources removed, or to be removed.
    """
    context = StageContext.of(program)
    locked_out = None if dry_run else _lock(lock)
    unknown = _unknown_programs(context)
    account = resources.PersonalizeAccount(context.program, PersonalizeHook(aws_conn_id=context.program.aws))
    decisions = resources.survey(context, account, now, solutions=not unknown)
    decided = [
        (ReportEntry(resource.noun, each.subject.name, each.why), each)
        for resource, found in decisions.items()
        for each in found
    ]
    part = MaintainReport(
        program,
        run,
        dry_run,
        removed=() if locked_out else tuple(entry for entry, each in decided if not each.keep),
        kept=tuple(entry for entry, each in decided if each.keep and not each.recent),
        recent=dict(Counter(entry.kind for entry, each in decided if each.recent)),
        orphans=tuple(resources.find_orphans(account)),
        idle=(
            *resources.idle_campaigns(account, now, is_recommending=is_recommending),
            *resources.active_recommenders(account, now),
        ),
        counts=account.counts(),
        left=tuple(filter(None, (locked_out, unknown))),
    )
    part = _write_joined(context, _RESOURCES, part)
    if not (dry_run or locked_out):
        left, in_use = resources.remove(account.hook, decisions)
        removed = tuple(entry for entry in part.removed if entry.name not in in_use)
        part = replace(part, left=(*part.left, *left), removed=removed)
        _write(context, _RESOURCES, part)
    return {"removed": len(part.removed)}


def report(program: str, run: str) -> str:
    """Join both parts into one report, write and log it.

    :returns: the S3 URI of the report.
    """
    context = StageContext.of(program)
    parts = [part for name in (_OBJECTS, _RESOURCES) if (part := _read(context, run, name))]
    whole = MaintainReport.joined(program, run, parts)
    if context.program.data is None:
        whole = replace(whole, attribution=tuple(summary_lines(attribution_reports(context))))
    _write(context, "report", whole)
    log.info("%s", whole.text())
    for line in whole.nearly_full:
        log.warning("%s: %s; the quota is nearly used up", program, line)
    return context.bucket.uri(context.keys.maintenance(run, "report"))


def _lock(lock: Callable[[], None]) -> str | None:
    try:
        lock()
    except RETRIABLE as error:
        return f"Resources stay until the next run: {error}"
    return None


def _unknown_programs(context: StageContext) -> str | None:
    """Say why the solutions that programs share cannot be decided about; None when they can."""
    try:
        context.over_data  # ruff: ignore[useless-expression] - reads the files
    except FATAL as error:
        return f"Solutions stay until the next run: {error}"
    return None


def _write_joined(context: StageContext, name: str, part: MaintainReport) -> MaintainReport:
    """Write a part before anything is removed, with what an earlier try of this run removed."""
    if former := _read(context, part.run, name):
        part = replace(part, removed=tuple(dict.fromkeys([*former.removed, *part.removed])))
    _write(context, name, part)
    return part


def _write(context: StageContext, name: str, part: MaintainReport) -> None:
    context.bucket.put_json(context.keys.maintenance(part.run, name), part.to_json())


def _read(context: StageContext, run: str, name: str) -> MaintainReport | None:
    document = context.bucket.get_json(context.keys.maintenance(run, name))
    return None if document is None else MaintainReport.from_json(document)


def _survey_experiments(
    context: StageContext, run: str, now: datetime, *, dry_run: bool
) -> list[RetentionDecision[OwnExperiment]]:
    """Decide about the experiments that the program runs, or was the last one to run.

    An experiment that is in no program file any more ends now, unless a recommend run ended it before.

    :param dry_run: end nothing.
    """
    if not dry_run:
        end_missing_experiments(context, run, now.isoformat())
    days = context.program.retention.days
    return [_decide_experiment(own, own.kept_until(days), days, now) for own in own_experiments(context)]


def _decide_experiment(
    own: OwnExperiment, until: datetime | None, days: int, now: datetime
) -> RetentionDecision[OwnExperiment]:
    if until is None:
        return RetentionDecision(own, keep=True, why="it runs")
    ended = f"{datetime.fromisoformat(own.experiment.until):%Y-%m-%d}"
    if until > now:
        return RetentionDecision(own, keep=True, why=f"ended {ended}, less than {days} days ago", recent=True)
    return RetentionDecision(own, keep=False, why=f"ended {ended}, {days} days ago or more")


def _with_experiments(
    report: MaintainReport, decisions: Sequence[RetentionDecision[OwnExperiment]]
) -> MaintainReport:
    """Add the decisions about experiments to a report."""
    entries = [(ReportEntry(_EXPERIMENT, each.subject.label, each.why), each) for each in decisions]
    recent = sum(each.recent for each in decisions)
    return replace(
        report,
        removed=(*report.removed, *(entry for entry, each in entries if not each.keep)),
        kept=(*report.kept, *(entry for entry, each in entries if each.keep and not each.recent)),
        recent={**report.recent, **({_EXPERIMENT: recent} if recent else {})},
    )
