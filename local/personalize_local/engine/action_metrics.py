"""Measure recommended actions.

The service names precision, recall, AUC and coverage without publishing keys and formulas: these are ours.
"""

from collections.abc import Iterable

import numpy as np

from personalize_local.engine.actions import ActionEvents
from personalize_local.engine.evaluation import MAX_COVERAGE_USERS
from personalize_local.engine.interactions import BoolArray, FloatArray
from personalize_local.engine.metrics import COVERAGE
from personalize_local.engine.propensity import Propensity

# GetActionRecommendations returns so many actions unless asked for another number.
DEFAULT_RESULTS = 5
PRECISION, RECALL, AUC = "precision_at_5", "recall_at_5", "area_under_curve"


def measure_actions(parts: Iterable[tuple[Propensity, ActionEvents]]) -> dict[str, float]:
    """Measure how well the likelihoods tell taken from other actions, and what the first five hold.

    Precision and recall are means over the users who took something; AUC is over the occasions of all users of a
    part, then the mean over parts by their pairs of a success and a failure; 0.5 without any such pair.

    :param parts: models with the labels that were held out from them.
    """
    precisions, recalls, areas, pairs = [], [], [], []
    for model, labels in parts:
        takers = np.unique(labels.user[labels.taken])
        for user, scores in zip(takers, model.likelihood(takers), strict=True):
            best = np.argsort(-scores, kind="stable")[:DEFAULT_RESULTS]
            taken = np.unique(labels.action[(labels.user == user) & labels.taken])
            hits = len(np.intersect1d(best, taken))
            precisions.append(hits / DEFAULT_RESULTS)
            recalls.append(hits / len(taken))
        areas.append(area_under_curve(model.odds(labels.user, labels.action), labels.taken))
        pairs.append(int(labels.taken.sum() * (~labels.taken).sum()))
    return {
        PRECISION: float(np.mean(precisions)) if precisions else 0.0,
        RECALL: float(np.mean(recalls)) if recalls else 0.0,
        AUC: float(np.average(areas, weights=pairs)) if any(pairs) else 0.5,
    }


def coverage_of(model: Propensity, num_users: int) -> dict[str, float]:
    """Tell which share of the actions is among the first five of somebody; the first few thousand users are asked."""
    likelihood = model.likelihood(np.arange(min(num_users, MAX_COVERAGE_USERS)))
    best = np.argsort(-likelihood, axis=1, kind="stable")[:, :DEFAULT_RESULTS]
    return {COVERAGE: len(np.unique(best)) / len(model.action_rate)}


def area_under_curve(scores: FloatArray, success: BoolArray) -> float:
    """Compute the chance that a success scores above a failure, ties counting half."""
    good, bad = scores[success], np.sort(scores[~success])
    if len(good) == 0 or len(bad) == 0:
        return 0.5
    below = np.searchsorted(bad, good, side="left") + np.searchsorted(bad, good, side="right")
    return float(below.mean() / 2 / len(bad))
