"""Compare the arms of an experiment with its control, and summarise the result in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from statistics import median

from recsync.experiments import statistics
from recsync.experiments.report import (
    CONVERSION,
    METRICS,
    RECOMMENDED_ITEMS,
    VALUE_PER_USER,
    ArmFigures,
    ComparedArm,
    Guardrail,
    LiftReport,
    Power,
    SampleRatio,
)
from recsync.formatting import percent
from recsync.lift.figures import ArmSums, Figures
from recsync.program.experiment import Experiment

# Note days with less than this share of the usual rows, unless the usual number is small and varies by chance.
_EMPTY_SHARE = 0.05
_USUAL_ROWS = 20
_USUAL_DAYS = 3
# Horizon of ``Power.users_needed`` without a pre-period.
_HORIZON_DAYS = 28


@dataclass(frozen=True)
class Period:
    """The time of a report.

    :param run: key of the run; ``moment``: outcomes before it count.
    :param since: when the first person was given an arm.
    """

    run: str
    at: datetime
    since: datetime
    moment: datetime

    @property
    def days(self) -> float:
        """Days of the experiment so far."""
        return max((self.moment - self.since) / timedelta(days=1), 0.0)


@dataclass(frozen=True)
class SharesSince:
    """The shares of the arms from a moment on, in Unix seconds."""

    at: int
    shares: Mapping[str, float]


def build_report(
    program: str,
    experiment: Experiment,
    figures: Figures,
    period: Period,
    shares: Sequence[SharesSince],
    outcomes: Mapping[str, int],
    notes: Sequence[str],
) -> LiftReport:
    """Build the report.

    :param shares: of the experiment since its start, oldest first.
    :param outcomes: number of rows of ``outcomes.sql`` by treatment, see :class:`LiftReport`.
    """
    compared = _comparisons(experiment, figures)
    report = LiftReport(
        program=program,
        experiment=experiment.name,
        layer=experiment.layer_name,
        run=period.run,
        at=period.at.isoformat(),
        since=period.since.isoformat(),
        until=period.moment.isoformat(),
        days=round(period.days, 3),
        control=experiment.control_arm,
        window_days=experiment.window_days,
        arms=tuple(_figures(name, experiment, sums) for name, sums in figures.arms.items()),
        comparisons=compared,
        ratio=check_sample_ratio(figures, shares),
        power=_power(experiment, figures, period, compared),
        guardrails=_guardrails(experiment, figures),
        verdict="",
        outcomes=dict(outcomes),
        notes=(*notes, *_notes(experiment, figures, period)),
    )
    return replace(report, verdict=verdict(report))


def _figures(name: str, experiment: Experiment, sums: ArmSums) -> ArmFigures:
    arm, users = experiment.arms[name], sums.value.users
    return ArmFigures(
        name,
        arm.label,
        arm.share,
        users,
        sums.moved,
        sums.delivered,
        sums.converted.positive,
        sums.converted.mean,
        sums.total,
        sums.value.mean,
        sums.bought_recommended,
    )


def _comparisons(experiment: Experiment, figures: Figures) -> tuple[ComparedArm, ...]:
    """Compare each arm with the control, and arms with other models also with the champion's arm."""
    control = experiment.control_arm
    others = [name for name in figures.arms if name != control]
    found = _beside(control, others, experiment, figures)
    champion = next((name for name, arm in experiment.arms.items() if arm.gets == "champion"), control)
    if champion != control:
        found += _beside(
            champion, [name for name in others if name in experiment.models], experiment, figures
        )
    return tuple(found)


def _beside(control: str, arms: Sequence[str], experiment: Experiment, figures: Figures) -> list[ComparedArm]:
    """Compare arms with one of them by each metric; p-values are adjusted for the number of arms."""
    base, effect = figures.arms[control], experiment.effect
    theta = (
        statistics.cuped_theta([arm.value for arm in figures.arms.values()]) if figures.has_before else 0.0
    )
    compare: Mapping[str, Callable[[ArmSums], statistics.Effect]] = {
        VALUE_PER_USER: lambda arm: statistics.compare_means(
            arm.value, base.value, theta=theta, before=figures.before, effect=effect
        ),
        CONVERSION: lambda arm: statistics.compare_shares(arm.converted, base.converted, effect=effect),
        RECOMMENDED_ITEMS: lambda arm: statistics.compare_means(
            arm.recommended,
            base.recommended,
            theta=0,
            before=0,
            effect=effect,
            control_has_none=experiment.arms[control].gets == "nothing",
        ),
    }
    found: list[ComparedArm] = []
    for metric in METRICS:
        effects = [compare[metric](figures.arms[name]) for name in arms]
        adjusted = statistics.holm([each.p_value for each in effects])
        found += [
            _compared(name, control, metric, each, p_value)
            for name, each, p_value in zip(arms, effects, adjusted, strict=True)
        ]
    return found


def _compared(
    arm: str, control: str, metric: str, effect: statistics.Effect, adjusted: float | None
) -> ComparedArm:
    (low, high), (always_low, always_high), (relative_low, relative_high), always_relative = (
        bounds or (None, None)
        for bounds in (effect.once, effect.always, effect.relative_once, effect.relative_always)
    )
    return ComparedArm(
        arm,
        control,
        metric,
        METRICS[metric],
        effect.difference,
        effect.relative,
        low,
        high,
        effect.p_value,
        always_low,
        always_high,
        relative_low,
        relative_high,
        effect.variance_reduction,
        adjusted,
        *always_relative,
    )


def check_sample_ratio(figures: Figures, shares: Sequence[SharesSince]) -> SampleRatio:
    """Test whether the people by arm match the shares, among those who never moved.

    People who were assigned before a change of shares and never moved are in buckets that their arm kept all the time.
    So each arm's expected share is its smallest share since then.
    """
    expected = dict.fromkeys(figures.arms, 0.0)
    for since, people in figures.enrolled.items():
        in_force = [each.shares for each in shares if each.at <= since][-1:]
        later = [each.shares for each in shares if each.at > since]
        kept = {arm: min(each.get(arm, 0.0) for each in [*in_force, *later]) for arm in expected}
        total = sum(kept.values()) or 1.0
        for arm, share in kept.items():
            expected[arm] += people * share / total
    observed = {arm: sums.value.users for arm, sums in figures.arms.items()}
    p_value, mismatch = statistics.sample_ratio(observed, expected)
    return SampleRatio({arm: round(n, 1) for arm, n in expected.items()}, observed, p_value, mismatch)


def _smallest(experiment: Experiment, figures: Figures) -> str:
    """Return the arm with the fewest people, without the control; power is computed for it."""
    others = [name for name in figures.arms if name != experiment.control_arm]
    return min(others, key=lambda name: figures.arms[name].value.users)


def _power(
    experiment: Experiment, figures: Figures, period: Period, compared: Sequence[ComparedArm]
) -> Power:
    effect, spread = experiment.effect, figures.spread
    if spread is None or spread.within <= 0:
        note = "How long the experiment takes is not known yet: there are no values to estimate their variance from."
        return Power(effect, None, None, None, note)
    arm, control = _smallest(experiment, figures), experiment.control_arm
    users, held = (figures.arms[name].value.users for name in (arm, control))
    pre_days = experiment.pre_days if figures.has_before else 0
    horizon = experiment.pre_days or _HORIZON_DAYS
    ratio = experiment.arms[control].share / experiment.arms[arm].share
    needed = spread.users_needed(effect, horizon, pre_days, ratio)
    scale = _observed_scale(figures, arm, control, compared, period.days, pre_days)
    days = spread.days_needed(effect, pre_days, users, held, scale)
    about = f"a difference of {percent(effect)} in value per user between {arm} and {control}"
    if days is None:
        note = (
            f"With {users + held:,} people in both arms, the experiment cannot reliably detect {about}, however long "
            f"it runs; {needed:,} people could in {horizon} days (power 80 %)."
        )
        return Power(effect, needed, None, None, note, horizon)
    left = max(days - int(period.days), 0)
    when = f"in {left} more days" if left else "reached"
    note = (
        f"Power of 80 % for {about}: after {days} days ({when}), or with {needed:,} people in {horizon} days."
    )
    return Power(effect, needed, days, left, note, horizon)


def _observed_scale(
    figures: Figures, arm: str, control: str, compared: Sequence[ComparedArm], days: float, pre_days: int
) -> float:
    """Return the observed variance of the relative difference / the one expected from the variance components."""
    assert figures.spread
    found = next(c for c in compared if (c.arm, c.control, c.metric) == (arm, control, VALUE_PER_USER))
    base = figures.arms[control].value.mean
    if found.low is None or found.high is None or base <= 0 or days < 1:
        return 1.0
    observed = ((found.high - found.low) / 2 / 1.96 / base) ** 2
    users, held = (figures.arms[name].value.users for name in (arm, control))
    return observed * figures.spread.expected_information(days, pre_days, users, held)


def _guardrails(experiment: Experiment, figures: Figures) -> tuple[Guardrail, ...]:
    control = figures.arms[experiment.control_arm]
    found = []
    for event, limit in experiment.guardrails.items():
        for name, arm in figures.arms.items():
            if name == experiment.control_arm:
                continue
            users, held = arm.value.users, control.value.users
            hits, base = arm.events.get(event, 0), control.events.get(event, 0)
            rise = statistics.rise(hits, users, base, held, limit=limit)
            proven = rise.low is not None and rise.low > 0
            found.append(
                Guardrail(
                    event,
                    name,
                    hits / users if users else 0.0,
                    base / held if held else 0.0,
                    rise.relative,
                    rise.low,
                    rise.high,
                    limit,
                    broken=proven and (rise.relative is None or rise.relative > limit),
                )
            )
    return tuple(found)


def _notes(experiment: Experiment, figures: Figures, period: Period) -> list[str]:
    notes = []
    if experiment.pre_days and not figures.has_before:
        notes.append(
            "outcomes.sql returned no conversions from before the experiment, so CUPED cannot narrow the intervals: "
            "the query must return rows from data_interval_start on."
        )
    moved = sum(arm.moved for arm in figures.arms.values())
    if moved:
        notes.append(
            f"{moved:,} people changed their arm and are left out. A hash decides who changes, so the others stay "
            "comparable."
        )
    notes += empty_days(figures.by_day, period)
    arms = len(figures.arms) - 1
    if arms > 1:
        notes.append(
            f"{arms} arms are compared with {experiment.control_arm}: p_adjusted corrects for their number (Holm), "
            "intervals do not."
        )
    return notes


def empty_days(by_day: Mapping[int, int], period: Period) -> list[str]:
    """Return a note about whole days (UTC) since the start with no outcomes, or far fewer than usual."""
    first = period.since.astimezone(UTC).date() + timedelta(days=1)
    last = period.moment.astimezone(UTC).date()
    days = [first + timedelta(days=n) for n in range(max((last - first).days, 0))]
    rows = {day: by_day.get((day - date(1970, 1, 1)).days, 0) for day in days}
    if len(rows) < _USUAL_DAYS or (usual := median(rows.values())) < _USUAL_ROWS:
        return []
    odd = [f"{day} ({count:,})" for day, count in rows.items() if count < usual * _EMPTY_SHARE]
    if not odd:
        return []
    return [
        f"Days with hardly any outcomes: {', '.join(odd)}; {usual:,.0f} are usual. Late rows count in the next report; "
        "if none arrive, check the load of the warehouse."
    ]


def verdict(report: LiftReport) -> str:
    """Write the result as one sentence."""
    if report.ratio.mismatch:
        return (
            f"Do not use the figures of {report.experiment}: the people by arm do not match the shares "
            f"(sample ratio mismatch, p = {report.ratio.p_value:.1g})."
        )
    broken = [f"{each.event} in {each.arm}" for each in report.guardrails if each.broken]
    metric = VALUE_PER_USER if any(arm.value for arm in report.arms) else CONVERSION
    compared = [c for c in report.comparisons if (c.metric, c.control) == (metric, report.control)]
    few = [c.arm for c in compared if c.always_relative_low is None]
    said = [_said(c, report) for c in compared if c.arm not in few]
    if few:
        arms = " and ".join([*few, report.control])
        said.append(f"{arms} have too few conversions after {report.days:.0f} days to compare")
    text = "; ".join(said)
    if broken:
        text += f". Guardrails are broken: {', '.join(broken)}"
    return f"{text}."


def _said(compared: ComparedArm, report: LiftReport) -> str:
    what = "value per user" if compared.metric == VALUE_PER_USER else "conversion"
    change = f"{compared.relative:+.1%} {what} beside {compared.control}"
    between = f"between {compared.always_relative_low:+.1%} and {compared.always_relative_high:+.1%}"
    if compared.is_better:
        return f"{compared.arm} is better, proven: {change}, {between}"
    if compared.is_worse:
        return f"{compared.arm} is worse, proven: {change}, {between}"
    left = report.power.days_left
    wait = (
        f", and a difference of {percent(report.power.effect)} can be detected in about {left} more days"
        if left
        else ""
    )
    return f"{compared.arm} is not proven better or worse: {change}, {between}{wait}"
