"""What a recipe cannot do for a program: each problem with its field, the reason and the alternatives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from recsync.formatting import did_you_mean
from recsync.program.hpo import range_problems
from recsync.program.model import Program
from recsync.program.problem import Problem
from recsync.program.recipes import Asks, parameter_problems, those_that
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


_WHY_DATASET = {
    "items": "it works on the items' own columns",
    "actions": "it recommends what stands there",
    "action_interactions": "without them every action has the score 0 for everybody",
}
_INPUT_OF = {
    "candidates": {Asks.RANKING},
    "seeds": {Asks.ITEM},
    "segments": {Asks.SEGMENT_ITEM, Asks.SEGMENT_ATTRIBUTES},
}


def recipe_problems(program: Program) -> Iterator[Problem]:
    """Yield everything that the program asks of its recipe in vain."""
    yield from _event_types(program)
    yield from _training(program)
    yield from solution_problems(program)
    yield from _jobs(program)
    yield from _gate(program)
    yield from _datasets(program)
    yield from _inputs(program)
    yield from _lists(program)


def _event_types(program: Program) -> Iterator[Problem]:
    """Yield event types that something asks for and no export holds."""
    asked: dict[tuple[str, ...], Iterable[str]] = {
        ("recommendations", "rules", "bought_event_types"): program.recommendations.rules.bought_event_types
    }
    for where, solution in program.personalize.solutions.items():
        asked[*where, "event_type"] = filter(None, [solution.event_type])
        asked[*where, "event_weights"] = solution.event_weights
    for field, names in asked.items():
        missing = [name for name in names if not program.events.export(name)]
        if missing:
            yield Problem(
                field,
                f"{'.'.join(field)} names {', '.join(missing)}, which events.types leaves out"
                + did_you_mean(missing[0], program.events.types),
            )


def _training(program: Program) -> Iterator[Problem]:
    if program.personalize.can_update:
        return
    named: list[tuple[str, ...]] = [("train_update",)] if "train_update" in program.model_fields_set else []
    if "recommend_after_update" in program.schedules.model_fields_set:
        named.append(("schedules", "recommend_after_update"))
    for field in named:
        yield Problem(
            field,
            f"only {those_that(lambda recipe: recipe.update)} trains in mode UPDATE, {program.personalize.recipe} does "
            f"not; remove {'.'.join(field)} or use that recipe",
        )


def _jobs(program: Program) -> Iterator[Problem]:
    settings = program.personalize
    recipe = settings.traits
    given = settings.model_fields_set
    if "exploration" in given and not recipe.exploration:
        own = (
            " explores by itself and takes no settings for it"
            if recipe.name.endswith("personalization-v2")
            else ""
        )
        yield Problem(
            ("personalize", "exploration"),
            f"{recipe.name}{own or ' does not explore'}; remove it or use "
            f"{those_that(lambda other: other.exploration)}",
        )
    if settings.ranking_influence and not recipe.ranking_influence:
        yield Problem(
            ("personalize", "ranking_influence"),
            f"only {those_that(lambda other: other.ranking_influence)} has it; remove it or use that recipe",
        )
    if "campaign" in given and recipe.way != "campaign":
        yield Problem(
            ("personalize", "campaign"),
            f"{recipe.name} answers in a batch {'segment' if recipe.way == 'segment' else 'inference'} job; only "
            f"{those_that(lambda other: other.way == 'campaign')} need a campaign",
        )
    if settings.results > recipe.max_results:
        yield Problem(
            ("personalize", "num_results"),
            f"{recipe.name} gives at most {recipe.max_results}",
            settings.num_results,
        )
    if recipe.way != "segment" and settings.results < program.recommendations.length:
        yield Problem(
            ("personalize", "num_results"),
            f"personalize.num_results ({settings.results}) must be at least recommendations.length "
            f"({program.recommendations.length})",
            settings.num_results,
        )


def _gate(program: Program) -> Iterator[Problem]:
    recipe, gate = program.personalize.traits, program.gate
    if gate.metric and recipe.metrics and gate.metric not in recipe.metrics:
        yield Problem(
            ("gate", "metric"),
            f"{recipe.name} has the metrics {', '.join(recipe.metrics)}{did_you_mean(gate.metric, recipe.metrics)}",
            gate.metric,
        )
    for name in gate.metrics:
        if recipe.metrics and name not in recipe.metrics:
            yield Problem(
                ("gate", "metrics", name),
                f"{recipe.name} has the metrics {', '.join(recipe.metrics)}{did_you_mean(name, recipe.metrics)}",
            )
    if gate.minimum is not None and not program.gate_metric:
        yield Problem(
            ("gate", "minimum"),
            f"name gate.metric too: the metrics of {recipe.name} are not documented by name; train once and look at "
            "the task metrics",
            gate.minimum,
        )
    baseline = program.personalize.baseline_recipe
    if baseline == recipe.name:
        yield Problem(
            ("personalize", "baseline_recipe"), "is the recipe itself; there is nothing to compare", baseline
        )
    elif baseline and "precision_at_25" not in recipe.metrics:
        yield Problem(
            ("personalize", "baseline_recipe"),
            f"{recipe.name} has other metrics than {baseline}, so they cannot be compared; remove it",
            baseline,
        )


def _datasets(program: Program) -> Iterator[Problem]:
    recipe = program.personalize.traits
    filled = {kind.folder for kind in program.dataset_types}
    for folder in recipe.datasets:
        if folder not in filled:
            yield Problem(
                ("datasets",),
                f"{recipe.name} needs datasets.{folder}: {_WHY_DATASET[folder]}; add {folder}: {{}}",
            )
    for folder in ("actions", "action_interactions"):
        if folder in filled and folder not in recipe.datasets:
            only = those_that(lambda other: "actions" in other.datasets)
            yield Problem(("datasets", folder), f"only {only} uses it; remove it or use that recipe")


def _inputs(program: Program) -> Iterator[Problem]:
    recipe = program.personalize.traits
    for name, asking in _INPUT_OF.items():
        value = getattr(program.inputs, name)
        if value and recipe.asks not in asking:
            whose = those_that(lambda other, asking=asking: other.asks in asking)  # type: ignore[misc]  # bound now
            yield Problem(("inputs", name), f"{recipe.name} reads no {name}; {whose} do", value)
    if program.audience.segment and recipe.way == "segment":
        yield Problem(
            ("audience", "segment"),
            f"{recipe.name} finds the people by itself; name its items in inputs.segments",
        )


def _lists(program: Program) -> Iterator[Problem]:
    recipe, policy = program.personalize.traits, program.recommendations
    if recipe.way == "segment" and policy.min_length is None and policy.length > 1:
        yield Problem(
            ("recommendations",),
            f"{recipe.name} finds people for single items, so most lists are short; set min_length, usually 1",
        )
    if recipe.asks is Asks.ACTIONS:
        if policy.fallback:
            yield Problem(
                ("recommendations", "fallback"),
                "counts what people bought, but the lists hold actions; remove it",
            )
        if policy.rules.not_bought_in_days:
            yield Problem(
                ("recommendations", "rules", "not_bought_in_days"),
                "looks at interactions with items, but the lists hold actions; leave actions out by a filter or by "
                "their repeat frequency",
                policy.rules.not_bought_in_days,
            )
