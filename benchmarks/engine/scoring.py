"""Name who is judged, and say how sure a difference is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

OURS = "aws-user-personalization"
OURS_UNSEEN = "aws-user-personalization, unseen items"
COUNTS = "own purchase counts"
POPULAR = "popularity"
ALS = "implicit ALS, tuned, unseen items"
FOLDS = 10  # of users, each held out once: the service holds out one tenth
_SAMPLES = 2_000


def interval(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """Bootstrap the gain over users: 95 % interval of the difference of the means as a share of theirs."""
    both = np.array([ours, theirs])
    drawn = np.random.default_rng(0).integers(0, both.shape[1], (_SAMPLES, both.shape[1]))
    one, other = both[0][drawn].mean(axis=1), both[1][drawn].mean(axis=1)
    low, high = np.percentile(one / other - 1, [2.5, 97.5])
    return float(low), float(high)
