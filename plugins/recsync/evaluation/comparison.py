"""Solutions that were trained on the same data, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from recsync.evaluation.gate import Side, judge
from recsync.program import Gate


@dataclass(frozen=True)
class Contender:
    """One solution and the version that was trained.

    :param name: of the challenger; empty for the program's own solution.
    :param solution_version_arn: empty when its training failed.
    :param metrics: of ``GetSolutionMetrics``; None when there are none.
    :param settings: what is not the recipe's own way.
    :param refusals: why the gate does not let it pass; empty when it does, or was not asked.
    """

    name: str
    recipe: str
    solution_version_arn: str
    metrics: dict[str, float] | None
    settings: dict[str, Any]
    refusals: tuple[str, ...] = ()

    @property
    def called(self) -> str:
        """What people call it."""
        return self.name or "own"


@dataclass(frozen=True)
class Comparison:
    """What one FULL training put side by side.

    :param run: key of the run.
    :param at: ISO 8601.
    :param metric: what the gate goes by; None when it has none.
    :param chosen: name of the contender that was judged.
    """

    run: str
    at: str
    metric: str | None
    chosen: str
    contenders: tuple[Contender, ...]
    baseline_metrics: dict[str, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """Write it as a JSON document."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Comparison:
        """Read it back."""
        contenders = (
            Contender(**{**each, "refusals": tuple(each["refusals"])}) for each in document["contenders"]
        )
        return cls(**{**document, "contenders": tuple(contenders)})


def refusals(
    gate: Gate,
    metrics: dict[str, float] | None,
    baseline: dict[str, float] | None,
    champion: Side | None,
    default_metric: str | None,
) -> tuple[str, ...]:
    """Ask the gate what speaks against one."""
    if metrics is None:
        return ("its training failed",)
    return tuple(judge(gate, Side(metrics, baseline), champion, default_metric).refusals)


def best(contenders: Sequence[Contender], metric: str | None) -> Contender:
    """Give the best of those that pass; the program's own, which comes first, when none does or all are equal."""
    passing = [each for each in contenders if not each.refusals and (each.metrics or {}).get(metric or "")]
    # max() takes the first of equals.
    return max(passing, key=lambda each: (each.metrics or {})[metric or ""], default=contenders[0])


def table(contenders: Sequence[Contender], baseline: dict[str, float] | None) -> str:
    """Write the figures as a Markdown table: a row a metric, a column a solution."""
    columns: list[tuple[str, dict[str, float]]] = [(each.called, each.metrics or {}) for each in contenders]
    if baseline:
        columns.append(("baseline", baseline))
    metrics = sorted({metric for _, figures in columns for metric in figures})
    rows = [
        ["metric", *(name for name, _ in columns)],
        ["---"] * (len(columns) + 1),
        ["recipe", *(each.recipe for each in contenders), *(["popularity"] if baseline else [])],
        *([metric, *(_shown(figures.get(metric)) for _, figures in columns)] for metric in metrics),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
