"""Learn the weights of aws-user-personalization."""

from dataclasses import replace

import numpy as np

from personalize_local.engine.blend import learn_blend
from personalize_local.engine.factors import choose_items, learn_factors
from personalize_local.engine.histories import Histories, ItemSignals, measure_items, summarise
from personalize_local.engine.interactions import Interactions
from personalize_local.engine.lesson import make_lesson
from personalize_local.engine.weights import Settings, Weights


def learn(interactions: Interactions, settings: Settings) -> Weights:
    """Learn blend and factors from the given rows only.

    :raises TrainingDataError: when no user has two interactions.
    """
    histories = summarise(interactions)
    signals = measure_items(interactions, histories)
    lesson = make_lesson(interactions, histories, signals)
    factors = learn_factors(
        lesson.histories, choose_items(signals.users), interactions.num_items, settings.num_factors
    )
    blend = learn_blend(lesson, factors, settings.half_life)
    known = np.ones(interactions.num_items, dtype=np.bool_)
    weights = Weights(settings, interactions.item_ids, known, signals, factors, blend)
    return fit_items(weights, histories, signals)


def relearn(weights: Weights, interactions: Interactions, histories: Histories | None = None) -> Weights:
    """Keep the blend; measure items and learn factors on the given rows.

    :param histories: of the rows, where they have been summed up.
    """
    histories = summarise(interactions) if histories is None else histories
    return fit_items(weights, histories, measure_items(interactions, histories))


def fit_items(weights: Weights, histories: Histories, signals: ItemSignals) -> Weights:
    """Go on from the factors of nearly the same rows."""
    items = choose_items(signals.users)
    num_factors = weights.settings.num_factors
    factors = learn_factors(histories, items, len(signals.users), num_factors, weights.factors)
    return replace(weights, signals=signals, factors=factors)
