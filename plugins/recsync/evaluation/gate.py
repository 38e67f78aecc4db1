"""The gate: compare a version's figures with the champion's, its FULL version's and the baseline's.

The online gate (``gate.online``) then asks the newest report of the program's experiment what people bought.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from recsync.experiments.report import METRICS, LiftReport
from recsync.program import Experiment, Gate, OnlineGate, Threshold

COVERAGE = "coverage"


@dataclass(frozen=True)
class Metrics:
    """The figures of one solution version.

    :param metrics: of ``GetSolutionMetrics``.
    :param baseline: of the popularity baseline trained on the same data; None when there is none.
    """

    metrics: Mapping[str, float]
    baseline: Mapping[str, float] | None = None

    def lift(self, metric: str) -> float | None:
        """Return the ratio to the baseline; None without one, and for coverage, where a baseline means nothing."""
        value, floor = self.metrics.get(metric), (self.baseline or {}).get(metric)
        return value / floor if value is not None and floor and metric != COVERAGE else None


@dataclass(frozen=True)
class Figure:
    """One compared metric.

    :param refusal: why it does not pass; empty when it does.
    """

    metric: str
    challenger: float | None
    champion: float | None
    baseline: float | None
    full: float | None = None
    refusal: str = ""


@dataclass(frozen=True)
class GateResult:
    """The gate's result for one version."""

    figures: tuple[Figure, ...]

    @property
    def refusals(self) -> list[str]:
        """Reasons against the version; it passes when there are none."""
        return [figure.refusal for figure in self.figures if figure.refusal]

    def table(self) -> str:
        """Write all figures as a Markdown table."""
        lines = [
            "| metric | challenger | champion | its FULL version | baseline | |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {f.metric} | {shown(f.challenger)} | {shown(f.champion)} | {shown(f.full)} | "
            f"{shown(f.baseline)} | {f.refusal or 'passes'} |"
            for f in self.figures
        ]
        return "\n".join(lines)


def evaluate(
    gate: Gate,
    challenger: Metrics,
    champion: Metrics | None,
    default_metric: str | None,
    full: Metrics | None = None,
) -> GateResult:
    """Compare a version with the present champion, the FULL version it descends from, and its own baseline.

    Figures of two versions come from different held-out people and data. Where both have a baseline trained on their
    own data, their ratios to it are compared instead of the values.

    :param champion: None when there is none, or when its recipe solves another task.
    :param default_metric: the metric when the gate names none; None: only the further metrics count.
    :param full: of an UPDATE; compared like the champion, or a chain of updates could lose a little with each step.
    """
    metric = gate.metric or default_metric
    thresholds = {} if metric is None else {metric: gate.threshold}
    # Skip further metrics that the recipe does not have, unless the program file names them.
    thresholds |= {
        name: asked
        for name, asked in gate.further(metric).items()
        if name in challenger.metrics or name in gate.metrics
    }
    return GateResult(
        tuple(_figure(name, asked, challenger, champion, full) for name, asked in thresholds.items())
    )


def shown(value: float | None) -> str:
    """Write a metric for a table."""
    return "-" if value is None else f"{value:.4f}"


def _figure(
    metric: str, asked: Threshold, challenger: Metrics, champion: Metrics | None, full: Metrics | None
) -> Figure:
    value = challenger.metrics.get(metric)
    if value is None:
        has = ", ".join(sorted(challenger.metrics)) or "nothing"
        refusals = [f"GetSolutionMetrics has no {metric}; it has {has}"]
    else:
        refusals = [
            _below_minimum(metric, value, asked),
            _below_baseline(metric, challenger, asked),
            _below_former(metric, challenger, champion, "champion", asked) if champion else "",
            _below_former(metric, challenger, full, "FULL version", asked) if full else "",
        ]
    return Figure(
        metric,
        value,
        champion.metrics.get(metric) if champion else None,
        (challenger.baseline or {}).get(metric),
        full.metrics.get(metric) if full else None,
        "; ".join(filter(None, refusals)),
    )


def _below_minimum(metric: str, value: float, asked: Threshold) -> str:
    if asked.minimum is None or value >= asked.minimum:
        return ""
    return f"{metric} is {value:.4f}, the gate asks for at least {asked.minimum:.4f}"


def _below_baseline(metric: str, challenger: Metrics, asked: Threshold) -> str:
    floor, value = (challenger.baseline or {}).get(metric, 0.0), challenger.metrics[metric]
    if asked.min_ratio_to_baseline is None or value >= floor * asked.min_ratio_to_baseline:
        return ""
    return (
        f"{metric} is {value:.4f}, the gate asks for {asked.min_ratio_to_baseline:g} times the baseline's "
        f"{floor:.4f}"
    )


def _below_former(metric: str, challenger: Metrics, side: Metrics, name: str, asked: Threshold) -> str:
    ratio, value, former = asked.min_ratio_to_champion, challenger.metrics[metric], side.metrics.get(metric)
    if ratio is None or former is None:
        return ""
    lift, former_lift = challenger.lift(metric), side.lift(metric)
    if lift is None or former_lift is None:
        if value >= former * ratio:
            return ""
        return f"{metric} is {value:.4f}, the gate asks for {ratio:g} times the {name}'s {former:.4f}"
    if lift >= former_lift * ratio:
        return ""
    return (
        f"{metric} is {value:.4f}, {lift:.2f} times its baseline; the gate asks for {ratio:g} times the {name}'s, "
        f"which is {former:.4f}, {former_lift:.2f} times its own baseline"
    )


@dataclass(frozen=True)
class OnlineResult:
    """What the experiment says about a version.

    :param refusal: why the version does not pass; empty when it does.
    :param note: the figures or the missing report, for the log.
    """

    refusal: str = ""
    note: str = ""


def of_challenger(
    gate: OnlineGate, experiment: Experiment | None, report: LiftReport | None, challenger: str, now: datetime
) -> OnlineResult:
    """Ask for proof that the arm of a challenger is better than the champion's.

    It is compared with the arm that gets the champion, or with the control where no arm does.

    :param report: the newest of the experiment; None before the first.
    :param challenger: name of ``personalize.challengers``.
    """
    arms = experiment.arms if experiment else {}
    arm = next((name for name, each in arms.items() if each.challenger == challenger), None)
    if experiment is None or arm is None:
        return _refused(
            f"gate.online asks what people buy, and no arm of an experiment gets challenger {challenger}; give it one, "
            f"such as experiment.arms.{challenger}: {{share: 0.1, gets: {{challenger: {challenger}}}}}"
        )
    if why := _unusable(gate, experiment, report, now) or (report and _ratio(report)):
        return _refused(f"gate.online: {why}")
    assert report
    broken = [each.event for each in report.guardrails if each.arm == arm and each.broken]
    if broken:
        return _refused(f"gate.online: in arm {arm} the guardrail is broken of {', '.join(broken)}")
    beside = next((name for name, each in arms.items() if each.gets == "champion"), experiment.control_arm)
    found = report.compared(arm, gate.metric, beside) or report.compared(arm, gate.metric)
    label = METRICS[gate.metric]
    if found is None or found.always_relative_low is None or found.always_relative_high is None:
        return _refused(
            f"gate.online: after {report.days:.0f} days too few people converted to compare the {label} of {arm} with "
            f"that of {beside}; let the experiment run"
        )
    text = (
        f"{arm} has {found.relative:+.1%} {label} beside {found.control}, between {found.always_relative_low:+.1%} and "
        f"{found.always_relative_high:+.1%} after {report.days:.0f} days"
    )
    if found.always_relative_low > gate.min_relative:
        return OnlineResult(note=text)
    return _refused(
        f"gate.online asks for more than {gate.min_relative:+.1%} proven, and {text}; let the experiment run"
    )


def of_retraining(
    gate: OnlineGate, experiment: Experiment | None, report: LiftReport | None, now: datetime
) -> OnlineResult:
    """Refuse a new version of the champion's solution if its arm is proven worse than control; else return a note."""
    arms = experiment.arms if experiment else {}
    arm = next((name for name, each in arms.items() if each.gets == "champion"), None)
    if experiment is None or arm is None:
        return OnlineResult(note="gate.online: no arm of an experiment gets the champion.")
    if why := _unusable(gate, experiment, report, now) or (report and _ratio(report)):
        return OnlineResult(note=f"gate.online was not asked: {why}.")
    assert report
    found = report.compared(arm, gate.metric)
    if arm == experiment.control_arm or found is None:
        return OnlineResult(
            note=f"gate.online: {arm} is the control itself, so nothing says whether it got worse."
        )
    if not found.is_worse:
        return OnlineResult(note=f"gate.online: {arm} is not proven worse than {found.control}.")
    high = found.always_high if found.always_relative_high is None else found.always_relative_high
    by = f"{high:+.1%}" if found.always_relative_high is not None else f"{high:+.4g}"
    return _refused(
        f"gate.online: arm {arm}, which gets the champion, is proven worse than {found.control} in "
        f"{METRICS[gate.metric]} (at best {by} after {report.days:.0f} days), and a new version of its solution is "
        "not proven better. Look at what its lists hold; remove gate.online to promote nevertheless"
    )


def _unusable(gate: OnlineGate, experiment: Experiment, report: LiftReport | None, now: datetime) -> str:
    if report is None:
        return (
            f"experiment {experiment.name} has no report of lift yet; run the program's DAG lift, and check that it "
            "is not paused"
        )
    age = now - datetime.fromisoformat(report.at)
    if age > timedelta(days=gate.max_age_days):
        return (
            f"the newest report of experiment {experiment.name} is {age / timedelta(days=1):.1f} days old, and "
            f"gate.online.max_age_days is {gate.max_age_days:g}; run the program's DAG lift"
        )
    return ""


def _ratio(report: LiftReport) -> str:
    if not report.ratio.mismatch:
        return ""
    return (
        f"the people by arm of experiment {report.experiment} do not match its shares, so its figures are invalid; "
        "find the cause, and start an experiment with another name"
    )


def _refused(text: str) -> OnlineResult:
    return OnlineResult(refusal=text)
