"""Apply `optimizationObjective`: prefer items with higher values of an attribute.

https://docs.aws.amazon.com/personalize/latest/dg/optimizing-solution-for-objective.html
How the service weighs relevance against the objective is not published; here the log odds of an item rise by the
sensitivity times its attribute, in standard deviations over the catalog.
"""

from collections.abc import Sequence, Set
from dataclasses import replace

import numpy as np
import pyarrow as pa

from personalize_local.engine.base import Options
from personalize_local.engine.catalog import describe_items
from personalize_local.engine.evaluation import LIST_LENGTH, labels_per_user, of_users, split_users
from personalize_local.engine.inputs import Objective, TrainingData, TrainingDataError
from personalize_local.engine.interactions import FloatArray, codes, encode
from personalize_local.engine.precomputed import PrecomputedScores, precompute_scores
from personalize_local.engine.user_personalization import UserPersonalization
from personalize_local.engine.weights import learn

REWARDS = "average_rewards_at_k"
SENSITIVITIES = {"OFF": 0.0, "LOW": 0.25, "MEDIUM": 0.5, "HIGH": 1.0}


def steer(model: UserPersonalization, data: TrainingData, objective: Objective) -> UserPersonalization:
    """Return a model that prefers items by the objective."""
    worth = worth_of(data, model.catalog.item_ids, objective.item_attribute)
    spread = float(worth.std())
    lift = SENSITIVITIES[objective.sensitivity] * (worth - worth.mean()) / max(spread, 1e-12)
    return type(model)(model.catalog, model.weights, lifted(model.precomputed, lift))


def lifted(precomputed: PrecomputedScores, lift: FloatArray) -> PrecomputedScores:
    """Add `lift` to the log odds of all items."""
    return replace(
        precomputed,
        own_score=(precomputed.own_score + lift[precomputed.own_item]).astype(np.float32),
        item_bias=(precomputed.item_bias + lift).astype(np.float32),
    )


def worth_of(data: TrainingData, item_ids: pa.Array, attribute: str) -> FloatArray:
    """Read the attribute of every item; the mean for items without a row.

    :raises TrainingDataError: when Items has no such column, or empty cells in it.
    """
    if data.items is None or attribute not in data.items.column_names:
        raise TrainingDataError(f"The Items dataset has no column {attribute} to optimise for.")
    column = data.items.column(attribute)
    if column.null_count:
        raise TrainingDataError(f"Column {attribute} of Items has empty cells and cannot be optimised for.")
    values = column.cast(pa.float64()).to_numpy()
    worth = np.full(len(item_ids), float(values.mean()))
    worth[codes(data.items.column("ITEM_ID"), item_ids)] = values
    return worth


def measure_rewards(data: TrainingData, model: UserPersonalization, objective: Objective) -> dict[str, float]:
    """Compute the mean share of the labels' attribute sum that the top 25 items of held-out users contain.

    A trial model is trained without the newest rows of these users, with the same hyperparameters.
    """
    interactions = encode(data)
    split = split_users(interactions)
    weights = learn(split.train, model.weights.settings)
    precomputed = precompute_scores(weights, split.history)
    trial = steer(
        UserPersonalization(describe_items(data, split.train), weights, precomputed), data, objective
    )
    worth = worth_of(data, interactions.item_ids, objective.item_attribute)
    by_id = dict(zip(interactions.item_ids.to_pylist(), (worth - worth.min()).tolist(), strict=True))
    relevant = dict(labels_per_user(split.labels))
    lists = trial.answer(of_users(relevant), LIST_LENGTH, Options())
    shares = [share(found.ids, wanted, by_id) for found, wanted in zip(lists, relevant.values(), strict=True)]
    return {REWARDS: float(np.mean(shares)) if shares else 0.0}


def share(ids: Sequence[str], wanted: Set[str], worth: dict[str, float]) -> float:
    """Return the share of the wanted items' worth that is among the ids; 0 when their worth is 0."""
    whole = sum(worth[item] for item in wanted)
    return sum(worth[item] for item in ids if item in wanted) / whole if whole > 0 else 0.0
