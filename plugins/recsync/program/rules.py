"""Check the content of a program file against its recipe and its Avro schemas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from recsync.formatting import did_you_mean
from recsync.program.attribution import attribution_problems, attribution_schema_problems
from recsync.program.avro import AvroSchema
from recsync.program.data import MAX_TYPES_AND_METADATA, DatasetType, Events
from recsync.program.experiment_rules import experiment_problems
from recsync.program.filters import filter_problems
from recsync.program.model import Program
from recsync.program.problems import Field, Problem
from recsync.program.recipes import InputType, those_that
from recsync.program.solution_rules import solution_problems, solution_schema_problems

_WHY_DATASET = {
    "items": "it works on the items' own columns",
    "actions": "it recommends what stands there",
    "action_interactions": "without them every action has the score 0 for everybody",
}
_INPUT_OF = {
    "candidates": {InputType.RANKING},
    "seeds": {InputType.ITEM},
    "segments": {InputType.SEGMENT_ITEM, InputType.SEGMENT_ATTRIBUTES},
}


def recipe_problems(program: Program) -> Iterator[Problem]:
    """Yield the mistakes in a program file that its recipes show."""
    for rules in (
        _event_types,
        _training,
        solution_problems,
        _jobs,
        _gate,
        _datasets,
        _inputs,
        _lists,
        _email,
        experiment_problems,
        _attribution,
        filter_problems,
    ):
        yield from rules(program)


def _event_types(program: Program) -> Iterator[Problem]:
    """Yield event types that something asks for and no export holds."""
    asked: dict[Field, Iterable[str]] = {
        ("recommendations", "rules", "bought_event_types"): program.recommendations.rules.bought_event_types
    }
    for where, solution in program.personalize.solutions.items():
        asked[*where, "event_type"] = filter(None, [solution.event_type])
        asked[*where, "event_weights"] = solution.event_weights
    for place, metric in enumerate(program.personalize.attribution.metrics):
        asked["personalize", "attribution", "metrics", place, "event"] = [metric.event]
    for field, names in asked.items():
        missing = [name for name in names if not program.events.export(name)]
        if missing:
            yield Problem(
                field,
                f"{'.'.join(map(str, field))} names {', '.join(missing)}, which events.types leaves out"
                + did_you_mean(missing[0], program.events.types),
            )


def _training(program: Program) -> Iterator[Problem]:
    personalize = program.personalize
    recipe, events = personalize.recipe_spec, personalize.update_by == "events"
    if events and not recipe.considers_events:
        yield Problem(
            ("personalize", "update_by"),
            f"only {those_that(lambda other: other.considers_events)} consider streamed events before they are "
            f"trained again, {personalize.recipe} does not; remove it or use one of those recipes",
            personalize.update_by,
        )
    if "streaming" in personalize.model_fields_set and not events:
        yield Problem(("personalize", "streaming"), "is for update_by: events; remove it or say that")
    if events and "train_update" in program.model_fields_set:
        yield Problem(
            ("train_update",), "decides about UPDATE trainings, and update_by: events has none; remove it"
        )
    if events or personalize.can_update or (program.streams and recipe.considers_events):
        return
    named: list[tuple[str, ...]] = [("train_update",)] if "train_update" in program.model_fields_set else []
    if "recommend_after_update" in program.schedules.model_fields_set:
        named.append(("schedules", "recommend_after_update"))
    for field in named:
        yield Problem(
            field,
            f"only {those_that(lambda recipe: recipe.update)} trains in mode UPDATE, {personalize.recipe} does "
            f"not; remove {'.'.join(field)} or use that recipe",
        )


def _jobs(program: Program) -> Iterator[Problem]:
    settings = program.personalize
    recipe = settings.recipe_spec
    given = settings.model_fields_set
    if "exploration" in given and not recipe.exploration:
        by_itself = recipe.name.endswith("personalization-v2")
        yield Problem(
            ("personalize", "exploration"),
            f"{recipe.name} {'explores by itself and takes no settings for it' if by_itself else 'does not explore'}; "
            f"remove it or use {those_that(lambda other: other.exploration)}",
        )
    if settings.ranking_influence and not recipe.ranking_influence:
        yield Problem(
            ("personalize", "ranking_influence"),
            f"only {those_that(lambda other: other.ranking_influence)} has it; remove it or use that recipe",
        )
    if "campaign" in given and recipe.inference_mode != "campaign":
        yield Problem(
            ("personalize", "campaign"),
            f"{recipe.name} answers in a batch {'segment' if recipe.inference_mode == 'segment' else 'inference'} job; "
            f"only {those_that(lambda other: other.inference_mode == 'campaign')} need a campaign",
        )
    if settings.results > recipe.max_results:
        yield Problem(
            ("personalize", "num_results"),
            f"{recipe.name} gives at most {recipe.max_results}",
            settings.num_results,
        )
    if recipe.inference_mode != "segment" and settings.results < program.recommendations.length:
        yield Problem(
            ("personalize", "num_results"),
            f"personalize.num_results ({settings.results}) must be at least recommendations.length "
            f"({program.recommendations.length})",
            settings.num_results,
        )


def _gate(program: Program) -> Iterator[Problem]:
    recipe, gate = program.personalize.recipe_spec, program.gate
    named: dict[tuple[str, ...], str] = {("gate", "metrics", name): name for name in gate.metrics}
    if gate.metric:
        named["gate", "metric"] = gate.metric
    for field, name in named.items():
        if recipe.metrics and name not in recipe.metrics:
            text = f"{recipe.name} has the metrics {', '.join(recipe.metrics)}{did_you_mean(name, recipe.metrics)}"
            yield Problem(field, text, gate.metric if field == ("gate", "metric") else None)
    if gate.minimum is not None and not program.gate_metric:
        yield Problem(
            ("gate", "minimum"),
            f"name gate.metric too: the metrics of {recipe.name} are not documented by name; train once and look at "
            "the task metrics",
            gate.minimum,
        )
    baseline = program.personalize.baseline_recipe
    if baseline == recipe.name:
        text = "is the recipe itself; there is nothing to compare"
        yield Problem(("personalize", "baseline_recipe"), text, baseline)
    elif baseline and "precision_at_25" not in recipe.metrics:
        yield Problem(
            ("personalize", "baseline_recipe"),
            f"{recipe.name} has other metrics than {baseline}, so they cannot be compared; remove it",
            baseline,
        )


def _datasets(program: Program) -> Iterator[Problem]:
    recipe = program.personalize.recipe_spec
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
    recipe = program.personalize.recipe_spec
    for name, asking in _INPUT_OF.items():
        value = getattr(program.inputs, name)
        if value and recipe.input_type not in asking:
            whose = those_that(lambda other, asking=asking: other.input_type in asking)  # type: ignore[misc]  # bound now
            yield Problem(("inputs", name), f"{recipe.name} reads no {name}; {whose} do", value)
    if program.audience.segment and recipe.inference_mode == "segment":
        yield Problem(
            ("audience", "segment"),
            f"{recipe.name} finds the people by itself; name its items in inputs.segments",
        )


# Related items, popularity and segments have no scores: docs/program-file.md.
_SCORED = frozenset({InputType.USER, InputType.RANKING, InputType.ACTIONS})


def _lists(program: Program) -> Iterator[Problem]:
    recipe, policy = program.personalize.recipe_spec, program.recommendations
    if program.braze.status_catalog and policy.max_age_days is None:
        yield Problem(
            ("braze", "status_catalog"),
            "says until when lists may be mailed; say recommendations.max_age_days too",
        )
    if recipe.inference_mode == "segment" and policy.min_length is None and policy.length > 1:
        yield Problem(
            ("recommendations",),
            f"{recipe.name} finds people for single items, so most lists are short; set min_length, usually 1",
        )
    if policy.rules.boost and (recipe.input_type not in _SCORED or recipe.type == "POPULAR_ITEMS"):
        yield Problem(
            ("recommendations", "rules", "boost"),
            f"multiplies scores, and {recipe.name} gives none; remove it",
        )
    if recipe.input_type is InputType.ACTIONS:
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
        for rule in policy.rules.shares:
            yield Problem(
                ("recommendations", "rules", rule),
                "takes items that people bought where a list has too few, but the lists hold actions; remove it",
            )


def _attribution(program: Program) -> Iterator[Problem]:
    mails_actions = program.personalize.recipe_spec.input_type is InputType.ACTIONS
    attribution, datasets = program.personalize.attribution, program.dataset_types
    for problem in attribution_problems(attribution, datasets, mails_actions=mails_actions):
        yield Problem(("personalize", "attribution", *problem.field), problem.text, problem.value)


def _email(program: Program) -> Iterator[Problem]:
    sent = program.braze.sent_fields
    for part, column in program.email.columns:
        if column and column not in sent:
            where = "braze.catalog.fields" if program.braze.payload == "ids" else "braze.item_fields"
            text = f"is not among {where}, so it is not in Braze{did_you_mean(column, sent)}"
            yield Problem(("email", "columns", part), text, column)
    if program.email.template and not program.email.template.endswith((".html", ".liquid")):
        yield Problem(
            ("email", "template"),
            "must be the path of a .html or .liquid file below include/",
            program.email.template,
        )


def schema_problems(program: Program, kind: DatasetType, schema: AvroSchema) -> Iterator[Problem]:
    """Yield the mistakes in a program that one dataset's schema shows."""
    for where, solution in program.personalize.solutions.items():
        for problem in solution_schema_problems(solution, kind, schema):
            yield Problem((*where, *problem.field), problem.text, problem.value)
    for problem in attribution_schema_problems(program.personalize.attribution, kind, schema):
        yield Problem(("personalize", "attribution", *problem.field), problem.text, problem.value)
    if kind is DatasetType.INTERACTIONS:
        yield from event_problems(program.events, schema)
    if kind is DatasetType.ITEMS:
        for text in _item_problems(program, schema):
            yield Problem(("personalize", "recipe"), text)


def _item_problems(program: Program, schema: AvroSchema) -> Iterator[str]:
    recipe = program.personalize.recipe_spec
    # https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-semantic-similarity.html
    if recipe.name == "aws-semantic-similarity":
        if not any(field.item_name for field in schema.fields):
            yield f'{recipe.name} needs a string field with "itemName": true, the name that people read'
        if not any(field.textual for field in schema.fields):
            yield f'{recipe.name} needs a string field with "textual": true, what the item is in sentences'
    if recipe.input_type is InputType.SEGMENT_ATTRIBUTES and not any(
        field.type == "string" and not field.textual for field in schema.metadata
    ):
        yield f"{recipe.name} needs a string field that is not textual, to ask for its values"


def event_problems(events: Events, schema: AvroSchema) -> Iterator[Problem]:
    if events.weights and "EVENT_VALUE" not in schema.columns:
        yield Problem(
            ("events", "types"),
            f"gives values to {', '.join(events.weights)}, but the schema has no EVENT_VALUE; add the field "
            '{"name": "EVENT_VALUE", "type": ["null", "float"]} or leave the values empty',
        )
    taken = len(schema.metadata)
    if taken + len(events.types) > MAX_TYPES_AND_METADATA:
        yield Problem(
            ("events", "types"),
            f"names {len(events.types)} types and the schema has {taken} metadata fields; "
            f"Amazon Personalize takes at most {MAX_TYPES_AND_METADATA} of both together",
        )
