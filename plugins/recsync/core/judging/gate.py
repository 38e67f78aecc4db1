"""The gate between a trained solution version and its promotion."""

from __future__ import annotations

from collections.abc import Mapping

from recsync.core.program import Gate
from recsync.core.recipes import NDCG_25


def judge(
    gate: Gate,
    metrics: Mapping[str, float],
    baseline: Mapping[str, float] | None,
    metric: str | None = NDCG_25,
) -> list[str]:
    """Say why a version must not be promoted; an empty list lets it pass.

    :param metrics: of ``GetSolutionMetrics``.
    :param baseline: of the baseline trained on the same data; None when the program trains none.
    :param metric: looked at when the gate names none; None: then any version passes.
    """
    name = gate.metric or metric
    if name is None:
        return []
    value = metrics.get(name)
    if value is None:
        return [f"GetSolutionMetrics has no {name}; it has {', '.join(sorted(metrics)) or 'nothing'}"]
    refusals = []
    if gate.minimum is not None and value < gate.minimum:
        refusals.append(f"{name} is {value:.4f}, the gate asks for at least {gate.minimum:.4f}")
    floor = baseline.get(name, 0.0) * gate.min_ratio_to_baseline if baseline else 0.0
    if value < floor:
        refusals.append(
            f"{name} is {value:.4f}, the gate asks for {gate.min_ratio_to_baseline:g} times the baseline's "
            f"{baseline[name] if baseline else 0:.4f}"
        )
    return refusals
