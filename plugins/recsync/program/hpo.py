"""Hyperparameter optimisation: what is searched, and what the search found.

https://docs.aws.amazon.com/personalize/latest/dg/customizing-solution-config-hpo.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from recsync.program.recipes import Parameter, Recipe
from recsync.program.training import Solution, Tuning

_INTEGERS, _NUMBERS, _WORDS = (
    f"{kind}HyperParameterRanges" for kind in ("integer", "continuous", "categorical")
)
# tunedHPOParams may name a hyperparameter with the part of the pipeline that it belongs to: training.bptt.
_PREFIXES = ("training.", "data.")


def hpo_config(solution: Solution, tuning: Tuning) -> dict[str, Any]:
    """Make ``hpoConfig``: every hyperparameter that the program file does not fix, with an explicit range."""
    ranges: dict[str, list[dict[str, Any]]] = {_INTEGERS: [], _NUMBERS: [], _WORDS: []}
    for name in searched(solution, tuning):
        parameter = solution.traits.tunable[name]
        member, entry = _range(parameter, tuning.ranges.get(name, ()))
        ranges[member].append({"name": name, **entry})
    return {
        "algorithmHyperParameterRanges": ranges,
        "hpoResourceConfig": {
            "maxNumberOfTrainingJobs": str(tuning.max_training_jobs),
            "maxParallelTrainingJobs": str(min(tuning.max_parallel_training_jobs, tuning.max_training_jobs)),
        },
    }


def searched(solution: Solution, tuning: Tuning) -> list[str]:
    """Name the hyperparameters that are searched."""
    if tuning.ranges:
        return sorted(tuning.ranges)
    return sorted(solution.traits.tunable.keys() - solution.hyperparameters.keys())


def found_by(recipe: Recipe, tuned: Mapping[str, str]) -> dict[str, str]:
    """Take from ``tunedHPOParams.algorithmHyperParameters`` what a later solution can be given."""
    bare = {_bare(name): str(value) for name, value in tuned.items()}
    return {
        name: recipe.tunable[name].spelled(value) for name, value in bare.items() if name in recipe.tunable
    }


def range_problems(solution: Solution, tuning: Tuning) -> Iterator[str]:
    """Yield what is wrong with a search."""
    recipe = solution.traits
    for name, given in tuning.ranges.items():
        if name not in recipe.tunable:
            yield f"{recipe.name} cannot search {name}; it can search {', '.join(sorted(recipe.tunable))}"
        elif name in solution.hyperparameters:
            yield f"{name} is fixed in hyperparameters; remove it there or here"
        else:
            yield from _range_problem(name, recipe.tunable[name], given)
    if not searched(solution, tuning):
        yield "hyperparameters fixes all that could be searched"


def _range(parameter: Parameter, given: tuple[Any, ...]) -> tuple[str, dict[str, Any]]:
    if parameter.words:
        return _WORDS, {"values": [parameter.spelled(str(each)) for each in given] or list(parameter.words)}
    low, high = given or (parameter.low, parameter.high)
    if parameter.kind == "int":
        return _INTEGERS, {"minValue": int(low), "maxValue": int(high)}
    return _NUMBERS, {"minValue": float(low), "maxValue": float(high)}


def _range_problem(name: str, parameter: Parameter, given: tuple[Any, ...]) -> Iterator[str]:
    wrong = [each for each in given if not parameter.allows(str(each))]
    if wrong:
        yield f"{name} is {wrong[0]!r}, must be {parameter.allowed}"
    elif parameter.words and not given:
        yield f"{name} needs the words to try: {parameter.allowed}"
    elif not parameter.words and (len(given) != 2 or given[0] > given[1]):
        yield f"{name} needs its lowest and its highest value, e.g. [{parameter.low:g}, {parameter.high:g}]"


def _bare(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name
