"""The program file: what a solution version must reach before it becomes champion."""

from __future__ import annotations

from pydantic import Field

from recsync.core.program.section import Strict


class Gate(Strict):
    """What a new FULL version must reach before it becomes champion.

    :param metric: a key of ``GetSolutionMetrics``; None: NDCG at 25 or the recipe's own, if one is known.
    :param minimum: lowest value accepted; None accepts any.
    :param min_ratio_to_baseline: lowest ratio to the baseline's value; used when there is a baseline.
    """

    metric: str | None = None
    minimum: float | None = Field(default=None, ge=0)
    min_ratio_to_baseline: float = Field(default=1.0, ge=0)
