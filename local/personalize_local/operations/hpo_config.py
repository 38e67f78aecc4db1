"""Check what a hyperparameter optimisation may try.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_HPOConfig.html
"""

from __future__ import annotations

from typing import Any

from personalize_local.errors import invalid_input
from personalize_local.recipe_parameters import Parameter
from personalize_local.recipes import Recipe

# https://docs.aws.amazon.com/personalize/latest/dg/API_HPOResourceConfig.html
_MOST = {"maxNumberOfTrainingJobs": 40, "maxParallelTrainingJobs": 10}
_TYPES = {
    "integerHyperParameterRanges": "int",
    "continuousHyperParameterRanges": "float",
    "categoricalHyperParameterRanges": "bool",
}


def check_hpo(config: dict[str, Any], recipe: Recipe) -> None:
    """Raise InvalidInputException for the first thing that is wrong with an `hpoConfig`."""
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
