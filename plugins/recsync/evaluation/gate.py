"""The gate: a version's figures beside the champion's, its FULL version's and the baseline's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recsync.program import Gate, Threshold

COVERAGE = "coverage"


@dataclass(frozen=True)
class Side:
    """The figures of one solution version.

    :param metrics: of ``GetSolutionMetrics``.
    :param baseline: of the popularity baseline trained on the same data; None when there is none.
    """

    metrics: Mapping[str, float]
    baseline: Mapping[str, float] | None = None

    def lift(self, metric: str) -> float | None:
        """Give the ratio to the baseline; None without one, and for coverage, where a baseline means nothing."""
        value, floor = self.metrics.get(metric), (self.baseline or {}).get(metric)
        return value / floor if value is not None and floor and metric != COVERAGE else None


@dataclass(frozen=True)
class Figure:
    """One metric as it was judged.

    :param refusal: why it does not pass; empty when it does.
    """

    metric: str
    challenger: float | None
    champion: float | None
    baseline: float | None
    full: float | None = None
    refusal: str = ""


@dataclass(frozen=True)
class Verdict:
    """What became of one version."""

    figures: tuple[Figure, ...]

    @property
    def refusals(self) -> list[str]:
        """The reasons against it; none lets it pass."""
        return [figure.refusal for figure in self.figures if figure.refusal]

    def table(self) -> str:
        """Write all figures as a Markdown table."""
        lines = [
            "| metric | challenger | champion | its FULL version | baseline | |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {f.metric} | {_shown(f.challenger)} | {_shown(f.champion)} | {_shown(f.full)} | "
            f"{_shown(f.baseline)} | {f.refusal or 'passes'} |"
            for f in self.figures
        ]
        return "\n".join(lines)


def judge(
    gate: Gate,
    challenger: Side,
    champion: Side | None,
    default_metric: str | None,
    full: Side | None = None,
) -> Verdict:
    """Judge a version against the present champion, the FULL version it descends from, and its own baseline.

    Figures of two versions come from different held-out people and data. Where both have a baseline trained on their
    own data, their ratios to it are compared instead of the values.

    :param champion: None when there is none, or when it answers another question.
    :param default_metric: looked at when the gate names none; None: then the further metrics alone count.
    :param full: of an UPDATE; compared like the champion, or a chain of updates could lose a little with each.
    """
    metric = gate.metric or default_metric
    thresholds = {} if metric is None else {metric: gate.threshold}
    # A further metric that the recipe does not have says nothing, unless the program file asked for it.
    thresholds |= {
        name: asked
        for name, asked in gate.further(metric).items()
        if name in challenger.metrics or name in gate.metrics
    }
    return Verdict(
        tuple(_figure(name, asked, challenger, champion, full) for name, asked in thresholds.items())
    )


def _figure(
    metric: str, asked: Threshold, challenger: Side, champion: Side | None, full: Side | None
) -> Figure:
    value = challenger.metrics.get(metric)
    figure = Figure(
        metric,
        value,
        champion.metrics.get(metric) if champion else None,
        (challenger.baseline or {}).get(metric),
        full.metrics.get(metric) if full else None,
    )
    if value is None:
        has = ", ".join(sorted(challenger.metrics)) or "nothing"
        return Figure(**{**vars(figure), "refusal": f"GetSolutionMetrics has no {metric}; it has {has}"})
    found = [
        _below_minimum(metric, value, asked),
        _below_baseline(metric, challenger, asked),
        _below_former(metric, challenger, champion, "champion", asked) if champion else "",
        _below_former(metric, challenger, full, "FULL version", asked) if full else "",
    ]
    return Figure(**{**vars(figure), "refusal": "; ".join(filter(None, found))})


def _below_minimum(metric: str, value: float, asked: Threshold) -> str:
    if asked.minimum is None or value >= asked.minimum:
        return ""
    return f"{metric} is {value:.4f}, the gate asks for at least {asked.minimum:.4f}"


def _below_baseline(metric: str, challenger: Side, asked: Threshold) -> str:
    floor, value = (challenger.baseline or {}).get(metric, 0.0), challenger.metrics[metric]
    if asked.min_ratio_to_baseline is None or value >= floor * asked.min_ratio_to_baseline:
        return ""
    return (
        f"{metric} is {value:.4f}, the gate asks for {asked.min_ratio_to_baseline:g} times the baseline's "
        f"{floor:.4f}"
    )


def _below_former(metric: str, challenger: Side, side: Side, name: str, asked: Threshold) -> str:
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


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
