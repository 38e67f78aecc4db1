from __future__ import annotations

from recsync.core.gate import judge
from recsync.core.program import Gate


def test_the_gate_names_figures() -> None:
    metric = "normalized_discounted_cumulative_gain_at_25"
    assert judge(Gate(), {metric: 0.3}, {metric: 0.1}) == []
    assert judge(Gate(), {metric: 0.3}, None) == []
    assert "0.3000" in judge(Gate(minimum=0.4), {metric: 0.3}, None)[0]
    assert (
        "2 times the baseline's 0.2000"
        in judge(Gate(min_ratio_to_baseline=2), {metric: 0.3}, {metric: 0.2})[0]
    )
    assert "has no" in judge(Gate(), {"coverage": 1.0}, None)[0]
    assert "has no recall" in judge(Gate(metric="recall"), {"coverage": 1.0}, None, "coverage")[0]
    assert judge(Gate(), {"coverage": 1.0}, None, "coverage") == []
    assert judge(Gate(), {"coverage": 1.0}, None, None) == []
