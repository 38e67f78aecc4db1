"""Measure the lift of a program's experiment: read, compare, report, alert."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from recsync.alerts.message import send
from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.experiments.layer import LayerExperiment
from recsync.experiments.report import LiftReport
from recsync.experiments.store import EnrolmentStore, LayerStore, LiftStore
from recsync.formatting import percent
from recsync.lift.compare import Period, SharesSince, build_report
from recsync.lift.figures import figures_by_arm, load, select_people
from recsync.lift.outcomes import deliveries_since, load_exposure, read_outcomes
from recsync.program import Event, Experiment
from recsync.program.intervals import Interval
from recsync.program.names import run_key
from recsync.storage import duck
from recsync.storage.duck import work_folder

log = logging.getLogger(__name__)

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class _Started:
    """An experiment with its people.

    :param entry: of the layer document.
    :param shares: since its start, oldest first.
    """

    experiment: Experiment
    entry: LayerExperiment
    shares: tuple[SharesSince, ...]
    since: datetime
    notes: tuple[str, ...]


def measure(program_name: str, run_id: str, moment: datetime, *, days_before: int = 0) -> str:
    """Compare the arms of the program's experiment until a moment, and store the report.

    Each run reads all outcomes again, so late ones count. Earlier reports are not changed.

    :param days_before: also make missing reports of this number of earlier days, at the same time of day.
    :returns: the verdict; before the first enrolment, a sentence that says so.
    :raises FatalError: when there are no outcomes of people of the experiment.
    """
    context = StageContext.of(program_name)
    experiment = context.program.experiment
    if experiment is None:
        raise FatalError(f"{program_name} has no experiment in its program file.")
    with work_folder() as work:
        enrolled = _people(context, experiment, work)
        started = enrolled and _started(context, experiment)
        if not enrolled or not started or started.since >= moment:
            return f"Nobody is in an arm of {experiment.name} yet; {program_name}_recommend assigns them."
        reports = list(
            _reports(
                context, started, enrolled, _moments(context, started, moment, days_before, run_id), work
            )
        )
    for report in reports:
        context.store(LiftStore).write(report)
    newest = reports[-1]
    _alert(context, newest)
    for note in newest.notes:
        log.warning("%s", note)
    log.info("%s %s", newest.verdict, newest.power.note)
    return newest.verdict


def _people(context: StageContext, experiment: Experiment, work: Path) -> Path | None:
    store = context.store(EnrolmentStore)
    enrolment, _ = store.read(experiment.layer_name, experiment.name)
    return store.download(enrolment, work / "enrolled.parquet")


def _started(context: StageContext, experiment: Experiment) -> _Started | None:
    layer = context.store(LayerStore).document(experiment.layer_name).get()
    entry = layer.experiments.get(experiment.name)
    changes = [change for change in layer.changes if change.experiment == experiment.name]
    if entry is None or not changes:
        return None
    shares = tuple(
        SharesSince(int(datetime.fromisoformat(change.at).timestamp()), change.after)
        for change in changes
        if change.what in {"started", "shares"}
    )
    notes = tuple(
        f"What an arm gets was changed on {change.at[:10]}; the figures mix both. Rename the experiment to start "
        "a new one."
        for change in changes
        if change.what == "gets"
    )
    return _Started(experiment, entry, shares, datetime.fromisoformat(entry.since), notes)


def _moments(
    context: StageContext, started: _Started, moment: datetime, days_before: int, run_id: str
) -> list[Period]:
    """Return the periods to report, oldest first; the last one is the run's own."""
    done = {report[:8] for report in context.store(LiftStore).runs()} if days_before else set()
    moments = [moment - _DAY * n for n in range(days_before, 0, -1)]
    wanted = [each for each in moments if each > started.since and f"{each:%Y%m%d}" not in done]
    return [
        Period(run_key(run_id, each.astimezone(UTC).isoformat()), each, started.since, each)
        for each in (*wanted, moment)
    ]


def _reports(
    context: StageContext, started: _Started, enrolled: Path, periods: list[Period], work: Path
) -> Iterator[LiftReport]:
    program, experiment, moment = context.program, started.experiment, periods[-1].moment
    interval = Interval(started.since - _DAY * experiment.pre_days, moment)
    counts, columns = read_outcomes(context, interval, work / "outcomes.parquet")
    with duck.opened(work) as database:
        left_out = load(database, enrolled, work / "outcomes.parquet", experiment.arms)
        counts.update(left_out)
        known = database.sql("SELECT count(*) FROM outcomes").fetchall()[0][0]
        _check(program.sql_file("outcomes"), counts, known)
        counts["counted"] = known
        deliveries = deliveries_since(context, started.entry.programs, started.since)
        notes = [
            *started.notes,
            *load_exposure(
                context,
                database,
                deliveries,
                work,
                window_days=experiment.window_days,
                items="item_id" in columns,
            ),
        ]
        if deliveries and datetime.fromtimestamp(deliveries[0].at, UTC) > started.since + _DAY * 7:
            notes.append(
                f"The oldest delivery on S3 is of {deliveries[0].name[:8]} (retention.days): items bought from earlier "
                "lists do not count."
            )
        for period in periods:
            until = int(period.moment.timestamp())
            select_people(database, until)
            figures = figures_by_arm(
                database, list(experiment.arms), until, experiment.pre_days, experiment.guardrails
            )
            yield build_report(program.name, experiment, figures, period, started.shares, counts, notes)


def _check(name: str, counts: dict[str, int], known: int) -> None:
    if known:
        return
    raise FatalError(
        f"{name} returned {counts['rows']:,} rows, but no usable one of a person of the experiment: "
        f"{', '.join(f'{reason} {n:,}' for reason, n in counts.items() if n and reason != 'rows')}. Nothing was "
        "compared. Check that its user_id is that of audience.sql."
    )


def _alert(context: StageContext, report: LiftReport) -> None:
    """Send alerts of a mismatch and of broken guardrails, each once per day."""
    program, ratio = context.program, report.ratio
    if ratio.mismatch:
        spread = ", ".join(
            f"{arm} {ratio.observed.get(arm, 0):,} (by its share {n:,.0f})"
            for arm, n in ratio.expected.items()
        )
        send(
            program,
            Event.SAMPLE_RATIO,
            f"the people by arm of {report.experiment} do not match its shares",
            f"What happened: the people by arm of experiment {report.experiment} do not match its shares: {spread}; "
            f"p = {ratio.p_value:.1g}.\n"
            "What to do: do not use the experiment's figures. Find the cause: an audience.sql that depends on the arm, "
            "people who were erased from one arm, another program that uses the layer's documents. Then start an "
            "experiment with another name.",
            key=f"sample ratio: {report.experiment}",
        )
    for each in report.guardrails:
        if not each.broken:
            continue
        rise = "new" if each.relative is None else f"{each.relative:+.0%}"
        send(
            program,
            Event.GUARDRAIL,
            f"{each.event} rises in arm {each.arm} of {report.experiment}",
            f"What happened: {percent(each.rate)} of the people of arm {each.arm} have an event {each.event}, compared "
            f"with {percent(each.control_rate)} of {report.control} ({rise}; experiment.guardrails allows "
            f"{each.limit:+.0%}). This is more than chance explains, also when checked daily.\n"
            f"What to do: look at what {each.arm} gets; to stop it, lower its share in the program file, or "
            f"give it what {report.control} gets.",
            key=f"guardrail: {report.experiment} {each.arm} {each.event}",
        )
