"""Check what a solution asks for against its recipe, and refuse by name what is not built.

A setting that the real service would honour is never accepted and ignored here.
"""

from __future__ import annotations

import math
from typing import Any

from personalize_local.context import Params
from personalize_local.errors import invalid_input, not_built
from personalize_local.recipes import Parameter, Recipe

_NOT_BUILT = {
    "hpoConfig": "hyperparameter optimisation (hpoConfig)",
    "autoMLConfig": "AutoML (autoMLConfig)",
    "optimizationObjective": "optimizationObjective",
}


def check_solution(params: Params, recipe: Recipe) -> None:
    """Raise an `ApiError` for the first setting that is wrong or not built."""
    if params.get("performHPO"):
        raise not_built("hyperparameter optimisation (performHPO)")
    if params.get("performIncrementalUpdate"):
        raise invalid_input("performIncrementalUpdate is only valid with the recipe aws-semantic-similarity.")
    config = params.get("solutionConfig", {})
    for member, what in _NOT_BUILT.items():
        if config.get(member):
            raise not_built(what)
    if config.get("eventsConfig"):
        raise invalid_input(f"eventsConfig is not supported by the recipe {recipe.name}.")
    _check_threshold(config.get("eventValueThreshold"), params.get("eventType"))
    _check_parameters(config.get("algorithmHyperParameters", {}), recipe.algorithm_parameters, recipe)
    _check_parameters(config.get("featureTransformationParameters", {}), recipe.feature_parameters, recipe)
    _check_columns(config.get("trainingDataConfig", {}))
    _check_schedule(config.get("autoTrainingConfig", {}).get("schedulingExpression"))


def _check_threshold(threshold: str | None, event_type: str | None) -> None:
    if threshold is None:
        return
    if not event_type:
        raise invalid_input("eventValueThreshold requires an eventType.")
    if _number(threshold) is None:
        raise invalid_input(f"eventValueThreshold must be a number, not {threshold}.")


def _check_parameters(given: dict[str, str], known: tuple[Parameter, ...], recipe: Recipe) -> None:
    by_name = {parameter.name: parameter for parameter in known}
    for name, value in given.items():
        if name not in by_name:
            raise invalid_input(f"Unknown hyperparameter {name} for the recipe {recipe.name}.")
        _check_value(by_name[name], value)


def _check_value(parameter: Parameter, value: str) -> None:
    if parameter.type == "bool":
        if value.lower() not in {"true", "false"}:
            raise invalid_input(f"Hyperparameter {parameter.name} must be True or False, not {value}.")
        return
    number = _number(value)
    whole = number is not None and (parameter.type == "float" or number.is_integer())
    if number is None or not whole or not parameter.low <= number <= parameter.high:
        bounds = f"[{parameter.low:g}, {parameter.high:g}]"
        raise invalid_input(
            f"Hyperparameter {parameter.name} must be {parameter.type} in {bounds}, not {value}."
        )


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _check_columns(config: dict[str, Any]) -> None:
    if config.get("excludedDatasetColumns") and config.get("includedDatasetColumns"):
        raise invalid_input("Give either excludedDatasetColumns or includedDatasetColumns, not both.")
    for dataset_type, columns in config.get("excludedDatasetColumns", {}).items():
        if dataset_type.upper() == "INTERACTIONS" and "EVENT_TYPE" in columns:
            raise invalid_input("EVENT_TYPE cannot be excluded from training.")


def _check_schedule(expression: str | None) -> None:
    # The pattern rate(N days) is checked by the shape; N lies between 1 and 30.
    if expression and not 1 <= int(expression[5:].split()[0]) <= 30:
        raise invalid_input(f"schedulingExpression must be between 1 and 30 days, not {expression}.")
