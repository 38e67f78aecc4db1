"""The gate between a trained solution version and its promotion."""

from __future__ import annotations

from collections.abc import Mapping

from recsync.core.program import Gate


def judge(gate: Gate, metrics: Mapping[str, float], baseline: Mapping[str, float] | None) -> list[str]:
    """Say why a version must not be promoted; an empty list lets it pass.

    :param metrics: of ``GetSolutionMetrics``.
    :param baseline: of the baseline trained on the same data; None when the program trains none.
    """
    value = metrics.get(gate.metric)
    if value is None:
        return [f"GetSolutionMetrics has no {gate.metric}; it has {', '.join(sorted(metrics)) or 'nothing'}"]
    refusals = []
    if gate.minimum is not None and value < gate.minimum:
        refusals.append(f"{gate.metric} is {value:.4f}, the gate asks for at least {gate.minimum:.4f}")
    floor = baseline.get(gate.metric, 0.0) * gate.min_ratio_to_baseline if baseline else 0.0
    if value < floor:
        refusals.append(
            f"{gate.metric} is {value:.4f}, the gate asks for {gate.min_ratio_to_baseline:g} times the baseline's "
            f"{baseline[gate.metric] if baseline else 0:.4f}"
        )
    return refusals
