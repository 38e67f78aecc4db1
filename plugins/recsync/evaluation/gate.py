"""The gate: compare a version's figures with the champion's, its FULL version's and the baseline's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recsync.program import Gate, Threshold

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
