"""Check the solutions of a program, its own and its challengers, against their recipes and the Avro schemas."""

from __future__ import annotations

from collections.abc import Iterator

from recsync.formatting import did_you_mean
from recsync.program.avro import NUMBERS, AvroSchema
from recsync.program.data import DatasetType
from recsync.program.model import Program
from recsync.program.personalize import Solution, range_problems
from recsync.program.problems import Problem
from recsync.program.recipes import parameter_problems, those_that

# Ids and times are what an event or item is; the service refuses EVENT_TYPE by name.
# https://docs.aws.amazon.com/personalize/latest/dg/custom-config-columns.html
_ALWAYS_TRAINED = frozenset({"USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE"})


def solution_problems(program: Program) -> Iterator[Problem]:
    """Yield the mistakes in the program's own solution, its challengers and its tuning."""
    own = program.personalize
    for field, solution in own.solutions.items():
        yield from _solution(program, solution, field)
    for name in own.challengers:
        yield from _challenger(program, name, ("personalize", "challengers", name))
    if own.promote_best and not own.challengers:
        yield Problem(("personalize", "promote_best"), "there are no challengers to choose from")
    tune = program.schedules.of("tune")
    if own.tuning is None and (tune or program.schedules.after("tune")):
        text = "there is nothing to search; add personalize.tuning: {}"
        yield Problem(("schedules", "tune"), text, tune.expression if tune else None)
    elif own.tuning and not own.recipe_spec.tunable:
        others = those_that(lambda other: bool(other.tunable))
        text = f"{own.recipe} has no hyperparameter optimisation; remove it or use {others}"
        yield Problem(("personalize", "tuning"), text)
    elif own.tuning:
        for text in range_problems(own, own.tuning):
            yield Problem(("personalize", "tuning", "ranges"), text)


def _solution(program: Program, solution: Solution, field: tuple[str, ...]) -> Iterator[Problem]:
    recipe = solution.recipe_spec
    for problem in parameter_problems(recipe, solution.hyperparameters):
        yield Problem((*field, "hyperparameters"), problem)
    if solution.event_weights and not recipe.event_weights:
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
    yield from _columns(program, solution, field)
    if solution.optimization_objective and not recipe.objective:
        text = f"only {those_that(lambda other: other.objective)} can; remove it or use one of these"
        yield Problem((*field, "optimization_objective"), text)
    elif solution.optimization_objective and program.datasets.items is None:
        text = "it is a column of the items; add datasets.items: {}"
        yield Problem((*field, "optimization_objective"), text)


def _columns(program: Program, solution: Solution, field: tuple[str, ...]) -> Iterator[Problem]:
    named = {"excluded_columns": solution.excluded_columns, "included_columns": solution.included_columns}
    if all(named.values()):
        yield Problem((*field, "included_columns"), "excluded_columns is given too; use one of them")
    for member, datasets in named.items():
        where = (*field, member)
        if datasets and not solution.recipe_spec.columns:
            yield Problem(where, f"{solution.recipe} takes no choice of columns; remove it")
        for dataset in datasets:
            if getattr(program.datasets, dataset) is None:
                yield Problem((*where, dataset), f"the program has no datasets.{dataset}")
    for dataset, columns in solution.excluded_columns.items():
        for column in _ALWAYS_TRAINED.intersection(columns):
            yield Problem((*field, "excluded_columns", dataset), f"{column} cannot be excluded", column)


def _challenger(program: Program, name: str, field: tuple[str, ...]) -> Iterator[Problem]:
    """Yield why a challenger cannot be compared, or could not be the champion."""
    own, rival = program.personalize, program.personalize.challengers[name]
    spec, where = rival.recipe_spec, (*field, "recipe")
    question = own.recipe_spec.input_type, own.recipe_spec.inference_mode
    if (spec.input_type, spec.inference_mode) != question:
        others = those_that(lambda other: (other.input_type, other.inference_mode) == question)
        yield Problem(
            where,
            f"{rival.recipe} answers another question than {own.recipe}; a challenger must be one of {others}",
            rival.recipe,
        )
    elif program.gate_metric not in spec.metrics:
        yield Problem(
            where,
            f"it cannot be compared by {program.gate_metric or 'gate.metric, which has no value'}: {rival.recipe} has "
            f"the metrics {', '.join(spec.metrics) or 'that nobody has documented'}",
            rival.recipe,
        )
    for folder in spec.datasets:
        if getattr(program.datasets, folder) is None:
            yield Problem(where, f"{rival.recipe} needs datasets.{folder}", rival.recipe)
    made = _made_of(rival)
    twins = [other for other, each in own.challengers.items() if other < name and _made_of(each) == made]
    if _made_of(own) == made:
        yield Problem(field, "is the same as the program's own solution; change a setting")
    elif twins:
        yield Problem(field, f"is the same as the challenger {twins[0]}; change a setting")
    elif own.baseline_recipe and made == _made_of(
        Solution(recipe=own.baseline_recipe, event_type=own.event_type)
    ):
        yield Problem(field, "is the same as baseline_recipe, which is compared with anyway")


def _made_of(solution: Solution) -> dict[str, object]:
    return {name: getattr(solution, name) for name in Solution.model_fields}


def solution_schema_problems(solution: Solution, kind: DatasetType, schema: AvroSchema) -> Iterator[Problem]:
    """Yield the mistakes in a solution that one dataset's schema shows."""
    if kind is DatasetType.INTERACTIONS and "EVENT_TYPE" not in schema.columns:
        for field in ("event_type", "event_weights"):
            if getattr(solution, field):
                yield Problem((field,), "needs a field EVENT_TYPE of type string")
    # https://docs.aws.amazon.com/personalize/latest/dg/custom-config-columns.html
    filters_only = {field.name for field in schema.metadata if not field.trains}
    for field in ("excluded_columns", "included_columns"):
        columns = dict[str, tuple[str, ...]](getattr(solution, field)).get(kind.folder, ())
        for column in columns:
            if column not in schema.columns:
                there = f"the schema has {', '.join(schema.columns)}{did_you_mean(column, schema.columns)}"
                yield Problem((field, kind.folder), f"names {column}; {there}")
        if field == "included_columns":
            for column in filters_only.intersection(columns):
                text = f"names {column}, which is neither categorical nor textual and so never trained on"
                yield Problem((field, kind.folder), text)
    if kind is DatasetType.ITEMS and solution.optimization_objective:
        yield from _objective_problems(solution.optimization_objective.item_attribute, schema)


# https://docs.aws.amazon.com/personalize/latest/dg/optimizing-solution-for-objective.html
def _objective_problems(column: str, schema: AvroSchema) -> Iterator[Problem]:
    found = next((field for field in schema.fields if field.name == column), None)
    if found is None or found.type not in NUMBERS or found.nullable:
        fit = [field.name for field in schema.metadata if field.type in NUMBERS and not field.nullable]
        there = f"there are {', '.join(fit)}" if fit else "the schema has none"
        yield Problem(
            ("optimization_objective", "item_attribute"),
            f"must be a numeric column without nulls; {there}{did_you_mean(column, fit)}",
            column,
        )
