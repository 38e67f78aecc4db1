"""Bring items forward that are worth more: `optimizationObjective`.

https://docs.aws.amazon.com/personalize/latest/dg/optimizing-solution-for-objective.html
How the service weighs relevance against the objective is not published; here the log odds of an item rise by the
sensitivity times its attribute, in standard deviations over the catalogue.
"""

from collections.abc import Sequence, Set
from dataclasses import replace

import numpy as np
import pyarrow as pa

from personalize_local.engine.answers import Answers, prepare_answers
from personalize_local.engine.base import Options
from personalize_local.engine.catalogue import describe_items
from personalize_local.engine.data import Objective, TrainingData
from personalize_local.engine.errors import TrainingDataError
from personalize_local.engine.evaluation import labels_per_user, of_users
from personalize_local.engine.interactions import FloatArray, codes, encode
from personalize_local.engine.learning import learn
from personalize_local.engine.metrics import LIST_LENGTH
from personalize_local.engine.split import split_users
from personalize_local.engine.user_personalization import UserPersonalization

REWARDS = "average_rewards_at_k"
SENSITIVITIES = {"OFF": 0.0, "LOW": 0.25, "MEDIUM": 0.5, "HIGH": 1.0}


def steer(model: UserPersonalization, data: TrainingData, objective: Objective) -> UserPersonalization:
    """Return a model whose lists lean towards the objective."""
    worth = worth_of(data, model.catalogue.item_ids, objective.item_attribute)
    spread = float(worth.std())
    lift = SENSITIVITIES[objective.sensitivity] * (worth - worth.mean()) / max(spread, 1e-12)
    return type(model)(model.catalogue, model.weights, lifted(model.answers, lift))


def lifted(answers: Answers, lift: FloatArray) -> Answers:
    """Add to the log odds of all items."""
    return replace(
        answers,
        own_score=(answers.own_score + lift[answers.own_item]).astype(np.float32),
        item_bias=(answers.item_bias + lift).astype(np.float32),
    )


def worth_of(data: TrainingData, item_ids: pa.Array, attribute: str) -> FloatArray:
    """Read the attribute of every item, the mean where an item has no row.

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
    """Compute the mean share of the attribute, over what held-out users took, that the 25 best items hold.

    The model is trained again without those users' newest rows, with the settings of the model at hand.
    """
    interactions = encode(data)
    split = split_users(interactions)
    weights = learn(split.train, model.weights.settings)
    answers = prepare_answers(weights, split.history)
    trial = steer(UserPersonalization(describe_items(data, split.train), weights, answers), data, objective)
    worth = worth_of(data, interactions.item_ids, objective.item_attribute)
    by_id = dict(zip(interactions.item_ids.to_pylist(), (worth - worth.min()).tolist(), strict=True))
    relevant = dict(labels_per_user(split.labels))
    lists = trial.answer(of_users(relevant), LIST_LENGTH, Options())
    shares = [share(found.ids, wanted, by_id) for found, wanted in zip(lists, relevant.values(), strict=True)]
    return {REWARDS: float(np.mean(shares)) if shares else 0.0}


def share(ids: Sequence[str], wanted: Set[str], worth: dict[str, float]) -> float:
    """Tell how much of what the wanted items are worth is among the ids; 0 when they are worth nothing."""
    whole = sum(worth[item] for item in wanted)
    return sum(worth[item] for item in ids if item in wanted) / whole if whole > 0 else 0.0
