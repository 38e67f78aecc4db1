"""Check the configuration of a solution against its recipe and the schemas of its dataset group.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_SolutionConfig.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from personalize_local.context import Params
from personalize_local.datasets.avro import NUMERIC_TYPES, DatasetSchema
from personalize_local.errors import invalid_input, not_built
from personalize_local.recipes import Parameter, Recipe, number_in

_TRAINING_DATASETS = ("INTERACTIONS", "ITEMS", "USERS", "ACTIONS", "ACTION_INTERACTIONS")

# The schemas of a dataset group's ACTIVE datasets, by dataset type.
Schemas = Mapping[str, DatasetSchema]
# https://docs.aws.amazon.com/personalize/latest/dg/API_HPOResourceConfig.html
_MOST = {"maxNumberOfTrainingJobs": 40, "maxParallelTrainingJobs": 10}
_TYPES = {
    "integerHyperParameterRanges": "int",
    "continuousHyperParameterRanges": "float",
    "categoricalHyperParameterRanges": "bool",
}


def check_solution(params: Params, recipe: Recipe, schemas: Schemas) -> None:
    """Raise an `ApiError` for the first invalid setting."""
    config = params.get("solutionConfig", {})
    if config.get("autoMLConfig"):
        raise not_built("AutoML (autoMLConfig), which the service has deprecated")
    if params.get("performHPO") and not recipe.tunes:
        raise invalid_input(f"performHPO is not supported by the recipe {recipe.name}.")
    if config.get("hpoConfig"):
        if not recipe.tunes:
            raise invalid_input(f"hpoConfig is not supported by the recipe {recipe.name}.")
        check_hpo(config["hpoConfig"], recipe)
    check_incremental_update(params, recipe)
    _check_threshold(config.get("eventValueThreshold"), params.get("eventType"))
    check_events(config.get("eventsConfig"), recipe, params.get("eventType"))
    _check_parameters(config.get("algorithmHyperParameters", {}), recipe.algorithm_parameters, recipe)
    _check_parameters(config.get("featureTransformationParameters", {}), recipe.feature_parameters, recipe)
    _check_objective(config.get("optimizationObjective"), recipe, schemas)
    check_columns(config.get("trainingDataConfig", {}), schemas)
    check_schedule(config.get("autoTrainingConfig"))


def check_incremental_update(params: Params, recipe: Recipe) -> None:
    """Refuse `performIncrementalUpdate` for recipes without it."""
    if params.get("performIncrementalUpdate") and not recipe.influence:
        raise invalid_input(
            f"performIncrementalUpdate is only valid with the recipe aws-semantic-similarity, not {recipe.name}."
        )


def check_events(config: dict[str, Any] | None, recipe: Recipe, event_type: str | None) -> None:
    """Check an `eventsConfig`: events with weights, for the recipes of version 2."""
    if not config:
        return
    if not recipe.event_weights:
        raise invalid_input(f"eventsConfig is not supported by the recipe {recipe.name}.")
    if event_type:
        raise invalid_input("Give either eventType or eventsConfig, not both.")
    events = config.get("eventParametersList", [])
    names = [event.get("eventType", "") for event in events]
    if not events or not all(names):
        raise invalid_input("eventParametersList must have at least one entry, each with an eventType.")
    if len({name.lower() for name in names}) < len(names):
        raise invalid_input("An eventType can occur in eventParametersList only once.")


def check_schedule(config: dict[str, str] | None) -> None:
    """Refuse a training interval that is not between 1 and 30 days; the shape checks `rate(N days)`."""
    expression = (config or {}).get("schedulingExpression")
    if expression and not 1 <= int(expression[5:].split()[0]) <= 30:
        raise invalid_input(f"schedulingExpression must be between 1 and 30 days, not {expression}.")


def _check_threshold(threshold: str | None, event_type: str | None) -> None:
    if threshold is None:
        return
    if not event_type:
        raise invalid_input("eventValueThreshold requires an eventType.")
    if number_in(threshold) is None:
        raise invalid_input(f"eventValueThreshold must be a number, not {threshold}.")


def _check_parameters(given: dict[str, str], known: tuple[Parameter, ...], recipe: Recipe) -> None:
    by_name = {parameter.name: parameter for parameter in known}
    for name, value in given.items():
        if name not in by_name:
            raise invalid_input(f"Unknown hyperparameter {name} for the recipe {recipe.name}.")
        by_name[name].check(value)


def _check_objective(objective: dict[str, str] | None, recipe: Recipe, schemas: Schemas) -> None:
    if not objective:
        return
    if not recipe.objective:
        raise invalid_input(f"optimizationObjective is not supported by the recipe {recipe.name}.")
    column = objective.get("itemAttribute")
    if column is None:
        raise invalid_input("optimizationObjective requires an itemAttribute.")
    items = schemas.get("ITEMS")
    fields = {field.name: field for field in items.fields} if items else {}
    if column not in fields or fields[column].type not in NUMERIC_TYPES or fields[column].nullable:
        raise invalid_input(
            f"itemAttribute {column} is not a numeric column without nulls of an active Items dataset."
        )


def check_columns(config: dict[str, dict[str, list[str]]], schemas: Schemas) -> None:
    """Raise InvalidInputException for the first problem of a `trainingDataConfig`."""
    excluded = config.get("excludedDatasetColumns", {})
    included = config.get("includedDatasetColumns", {})
    if excluded and included:
        raise invalid_input("Give either excludedDatasetColumns or includedDatasetColumns, not both.")
    for dataset_type, columns in (*excluded.items(), *included.items()):
        if dataset_type.upper() not in _TRAINING_DATASETS:
            raise invalid_input(f"Unknown dataset type {dataset_type} in trainingDataConfig.")
        schema = schemas.get(dataset_type.upper())
        unknown = [name for name in columns if schema and name not in schema.names]
        if unknown:
            raise invalid_input(f"The {dataset_type} dataset has no column {unknown[0]}.")
    for dataset_type, columns in excluded.items():
        if dataset_type.upper() == "INTERACTIONS" and "EVENT_TYPE" in columns:
            raise invalid_input("EVENT_TYPE cannot be excluded from training.")


def check_hpo(config: dict[str, Any], recipe: Recipe) -> None:
    """Raise InvalidInputException for the first problem of an `hpoConfig`."""
    if config.get("hpoObjective"):
        raise invalid_input("hpoObjective is not supported.")
    for name, text in config.get("hpoResourceConfig", {}).items():
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST[name]):
            raise invalid_input(f"{name} must be a whole number from 1 to {_MOST[name]}, not {text}.")
    tunable = {parameter.name: parameter for parameter in recipe.algorithm_parameters if parameter.tunable}
    seen: set[str] = set()
    for member, ranges in config.get("algorithmHyperParameterRanges", {}).items():
        for entry in ranges:
            name = entry.get("name", "")
            if name not in tunable or tunable[name].type != _TYPES[member]:
                raise invalid_input(
                    f"{name or 'A range without a name'} is not in {member} of {recipe.name}."
                )
            if name in seen:
                raise invalid_input(f"Hyperparameter {name} has more than one range.")
            seen.add(name)
            _check_range(tunable[name], entry)


def _check_range(parameter: Parameter, entry: dict[str, Any]) -> None:
    if parameter.choices:
        if not entry.get("values"):
            raise invalid_input(f"The range of hyperparameter {parameter.name} has no values.")
        for value in entry["values"]:
            parameter.check(value)
        return
    if "minValue" not in entry or "maxValue" not in entry:
        raise invalid_input(f"The range of hyperparameter {parameter.name} needs minValue and maxValue.")
    low, high = entry["minValue"], entry["maxValue"]
    for bound in (low, high):
        parameter.check(str(bound))
    if low > high:
        raise invalid_input(f"The minValue of hyperparameter {parameter.name} is above its maxValue.")
