"""Measure recommended actions.

The service names precision, recall, AUC and coverage without publishing keys and formulas: these are ours.
"""

import numpy as np

from personalize_local.engine.actions import ActionEvents
from personalize_local.engine.interactions import BoolArray, FloatArray
from personalize_local.engine.metrics import COVERAGE
from personalize_local.engine.propensity import Propensity
from personalize_local.engine.split import HELD_OUT_SHARE, LABEL_SHARE, hash_ids

# GetActionRecommendations returns so many actions unless asked for another number.
DEFAULT_RESULTS = 5
PRECISION, RECALL, AUC = "precision_at_5", "recall_at_5", "area_under_curve"


def split_events(events: ActionEvents) -> tuple[ActionEvents, ActionEvents]:
    """Take the newest 10 % of the rows away from 10 % of the users who did something, at least from one."""
    active = np.unique(events.user)
    hashes = hash_ids(events.user_ids.take(active).to_pylist(), "actions")
    chosen = active[np.argsort(hashes, kind="stable")[: max(1, round(HELD_OUT_SHARE * len(active)))]]
    rows = np.bincount(events.user, minlength=len(events.user_ids))
    starts = np.cumsum(rows) - rows
    rank = np.arange(len(events)) - starts[events.user]
    labels = np.ceil(np.round(LABEL_SHARE * rows, 9)).astype(np.int64)
    is_label = np.isin(events.user, chosen) & (rank >= (rows - labels)[events.user]) & (rows > 1)[events.user]
    return events.where(~is_label), events.where(is_label)


def measure_actions(model: Propensity, labels: ActionEvents) -> dict[str, float]:
    """Measure how well the likelihoods tell taken from other actions, and what the first five hold.

    Precision and recall are means over the users who took something; AUC is 0.5 without both outcomes.
    """
    takers = np.unique(labels.user[labels.success])
    precisions, recalls, shown = [], [], set[int]()
    for user, scores in zip(takers, model.likelihood(takers), strict=True):
        best = np.argsort(-scores, kind="stable")[:DEFAULT_RESULTS]
        taken = np.unique(labels.action[(labels.user == user) & labels.success])
        hits = len(np.intersect1d(best, taken))
        precisions.append(hits / DEFAULT_RESULTS)
        recalls.append(hits / len(taken))
        shown.update(best.tolist())
    odds = model.features(labels.user, labels.action) @ model.weights
    return {
        COVERAGE: len(shown) / len(model.action_rate),
        PRECISION: float(np.mean(precisions)) if precisions else 0.0,
        RECALL: float(np.mean(recalls)) if recalls else 0.0,
        AUC: area_under_curve(odds, labels.success),
    }


def area_under_curve(scores: FloatArray, success: BoolArray) -> float:
    """Compute the chance that a success scores above a failure, ties counting half."""
    good, bad = scores[success], np.sort(scores[~success])
    if len(good) == 0 or len(bad) == 0:
        return 0.5
    below = np.searchsorted(bad, good, side="left") + np.searchsorted(bad, good, side="right")
    return float(below.mean() / 2 / len(bad))
