"""Choose hyperparameters by trying some: what `performHPO` asks for.

https://docs.aws.amazon.com/personalize/latest/dg/customizing-solution-config-hpo.html
"""

from __future__ import annotations

import random
from typing import Any

from personalize_local import engine
from personalize_local.recipe_parameters import Parameter
from personalize_local.recipes import Recipe

# The service tries up to 40; a laptop trains one candidate after another.
_MOST_CANDIDATES = 4
_OBJECTIVE = "normalized_discounted_cumulative_gain_at_25"
_SEED = 1


def candidates(recipe: Recipe, config: dict[str, Any]) -> list[dict[str, str]]:
    """Draw sets of hyperparameters, the same for the same configuration.

    :param config: `hpoConfig`; without ranges, all that the recipe can tune is drawn from its whole range.
    :returns: as many as `maxNumberOfTrainingJobs`, at most four.
    """
    ranges = [entry for part in config.get("algorithmHyperParameterRanges", {}).values() for entry in part]
    tunable = {parameter.name: parameter for parameter in recipe.algorithm_parameters if parameter.tunable}
    if not ranges:
        ranges = [_whole_range(parameter) for parameter in tunable.values()]
    wanted = int(config.get("hpoResourceConfig", {}).get("maxNumberOfTrainingJobs", _MOST_CANDIDATES))
    chance = random.Random(_SEED)  # ruff: ignore[suspicious-non-cryptographic-random-usage] - draws settings, no secret
    found: list[dict[str, str]] = []
    # Few distinct sets may exist, so drawing has an end.
    for _ in range(20 * _MOST_CANDIDATES):
        drawn = {entry["name"]: _draw(tunable[entry["name"]], entry, chance) for entry in ranges}
        if drawn not in found:
            found.append(drawn)
        if len(found) == min(wanted, _MOST_CANDIDATES):
            break
    return found


def _whole_range(parameter: Parameter) -> dict[str, Any]:
    if parameter.choices:
        return {"name": parameter.name, "values": list(parameter.choices)}
    return {"name": parameter.name, "minValue": parameter.low, "maxValue": parameter.high}


def _draw(parameter: Parameter, entry: dict[str, Any], chance: random.Random) -> str:
    if "values" in entry:
        return str(chance.choice(entry["values"]))
    low, high = entry["minValue"], entry["maxValue"]
    if parameter.type == "int":
        return str(chance.randint(int(low), int(high)))
    return f"{chance.uniform(low, high):.4f}"


def best_model(
    recipe: str, data: engine.TrainingData, fixed: dict[str, str], tried: list[dict[str, str]]
) -> tuple[dict[str, str], engine.TrainedModel]:
    """Train with each set in turn and return the best by NDCG@25 on the held-out users, with its set."""
    best: tuple[dict[str, str], engine.TrainedModel] | None = None
    for drawn in tried:
        model = engine.train(recipe, data, {**fixed, **drawn})
        if best is None or model.metrics[_OBJECTIVE] > best[1].metrics[_OBJECTIVE]:
            best = drawn, model
    assert best is not None
    return best
