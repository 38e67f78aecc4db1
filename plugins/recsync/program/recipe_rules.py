"""What a recipe cannot do for a program: each problem with its field, the reason and the alternatives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from recsync.formatting import did_you_mean
from recsync.program.model import Program
from recsync.program.problem import Problem
from recsync.program.recipes import Asks, those_that
from recsync.program.solution_rules import solution_problems

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
