"""What the program's solutions ask of their recipes in vain."""

from __future__ import annotations

from collections.abc import Iterator

from recsync.program.hpo import range_problems
from recsync.program.model import Program
from recsync.program.problem import Problem
from recsync.program.recipes import parameter_problems, those_that
from recsync.program.training import Solution

# Ids and times are what an event or item is; the service refuses EVENT_TYPE by name.
# https://docs.aws.amazon.com/personalize/latest/dg/custom-config-columns.html
_ALWAYS_TRAINED = frozenset({"USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE"})


def solution_problems(program: Program) -> Iterator[Problem]:
    """Yield what is wrong with the program's own solution, its challengers and its tuning."""
    for field, solution in program.personalize.solutions.items():
        yield from _problems(program, solution, field)
    for name in program.personalize.challengers:
        yield from _rivalry(program, name, ("personalize", "challengers", name))
    if program.personalize.promote_best and not program.personalize.challengers:
        yield Problem(("personalize", "promote_best"), "there are no challengers to choose from")
    yield from _tuning(program)


def _problems(program: Program, solution: Solution, field: tuple[str, ...]) -> Iterator[Problem]:
    recipe = solution.traits
    for problem in parameter_problems(recipe, solution.hyperparameters):
        yield Problem((*field, "hyperparameters"), problem)
    yield from _events(solution, field)
    yield from _columns(program, solution, field)
    if solution.optimization_objective and not recipe.objective:
        yield Problem(
            (*field, "optimization_objective"),
            f"only {those_that(lambda other: other.objective)} can; remove it or use one of these",
        )
    elif solution.optimization_objective and program.datasets.items is None:
        yield Problem(
            (*field, "optimization_objective"), "it is a column of the items; add datasets.items: {}"
        )


def _events(solution: Solution, field: tuple[str, ...]) -> Iterator[Problem]:
    if solution.event_weights and not solution.traits.event_weights:
        yield Problem(
            (*field, "event_weights"),
            f"{solution.recipe} cannot weigh event types, only {those_that(lambda other: other.event_weights)} can; "
            "use one of these, event_type, or several rows per event",
        )
    if solution.event_weights and solution.event_type:
        yield Problem(
            (*field, "event_type"),
            "event_weights replaces it: an event type that has no weight there is not trained on",
            solution.event_type,
        )


def _columns(program: Program, solution: Solution, field: tuple[str, ...]) -> Iterator[Problem]:
    named = {"excluded_columns": solution.excluded_columns, "included_columns": solution.included_columns}
    if all(named.values()):
        yield Problem((*field, "included_columns"), "excluded_columns is given too; use one of them")
    for member, datasets in named.items():
        where = (*field, member)
        if datasets and not solution.traits.columns:
            yield Problem(where, f"{solution.recipe} takes no choice of columns; remove it")
        for dataset in datasets:
            if getattr(program.datasets, dataset) is None:
                yield Problem((*where, dataset), f"the program has no datasets.{dataset}")
    for dataset, columns in solution.excluded_columns.items():
        for column in _ALWAYS_TRAINED.intersection(columns):
            yield Problem((*field, "excluded_columns", dataset), f"{column} cannot be excluded", column)


def _rivalry(program: Program, name: str, field: tuple[str, ...]) -> Iterator[Problem]:
    """Yield why a challenger cannot be compared, or could not be the champion."""
    own, rival = program.personalize, program.personalize.challengers[name]
    if (rival.traits.asks, rival.traits.way) != (own.traits.asks, own.traits.way):
        yield Problem(
            (*field, "recipe"),
            f"{rival.recipe} answers another question than {own.recipe}; a challenger must be one of "
            + those_that(lambda other: (other.asks, other.way) == (own.traits.asks, own.traits.way)),
            rival.recipe,
        )
    elif program.gate_metric not in rival.traits.metrics:
        yield Problem(
            (*field, "recipe"),
            f"it cannot be compared by {program.gate_metric or 'gate.metric, which has no value'}: {rival.recipe} has "
            f"the metrics {', '.join(rival.traits.metrics) or 'that nobody has documented'}",
            rival.recipe,
        )
    for folder in rival.traits.datasets:
        if getattr(program.datasets, folder) is None:
            yield Problem((*field, "recipe"), f"{rival.recipe} needs datasets.{folder}", rival.recipe)
    others = {other: each for other, each in own.challengers.items() if other < name}
    twins = [other for other, each in others.items() if _made_of(each) == _made_of(rival)]
    if _made_of(own) == _made_of(rival):
        yield Problem(field, "is the same as the program's own solution; change a setting")
    elif twins:
        yield Problem(field, f"is the same as the challenger {twins[0]}; change a setting")
    elif own.baseline_recipe and _made_of(rival) == _made_of(
        Solution(recipe=own.baseline_recipe, event_type=own.event_type)
    ):
        yield Problem(field, "is the same as baseline_recipe, which is compared with anyway")


def _made_of(solution: Solution) -> dict[str, object]:
    return {name: getattr(solution, name) for name in Solution.model_fields}


def _tuning(program: Program) -> Iterator[Problem]:
    own = program.personalize
    if own.tuning is None:
        if program.schedules.tune:
            yield Problem(
                ("schedules", "tune"),
                "there is nothing to search; add personalize.tuning: {}",
                program.schedules.tune,
            )
        return
    if not own.traits.tunable:
        yield Problem(
            ("personalize", "tuning"),
            f"{own.recipe} has no hyperparameter optimisation; remove it or use "
            f"{those_that(lambda other: bool(other.tunable))}",
        )
        return
    for problem in range_problems(own, own.tuning):
        yield Problem(("personalize", "tuning", "ranges"), problem)
