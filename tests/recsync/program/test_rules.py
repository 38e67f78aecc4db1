"""What a recipe cannot do is refused when the program file is read, with the reason and the alternatives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from recsync.errors import ProgramError
from recsync.program import Program
from recsync.program.files import read_program
from recsync.program.parse import parse_program
from recsync.program.recipes import RECIPES, InputType

_AVRO = {"type": "record", "namespace": "com.amazonaws.personalize.schema", "version": "1.0"}


TEXT, NUMBER = ["null", "string"], ["null", "float"]


FIELDS: dict[str, tuple[str, list[dict[str, object]]]] = {
    "interactions": (
        "Interactions",
        [
            {"name": "USER_ID", "type": "string"},
            {"name": "ITEM_ID", "type": "string"},
            {"name": "TIMESTAMP", "type": "long"},
            {"name": "EVENT_TYPE", "type": "string"},
        ],
    ),
    "items": (
        "Items",
        [
            {"name": "ITEM_ID", "type": "string"},
            {"name": "NAME", "type": "string", "itemName": True},
            {"name": "STORY", "type": TEXT, "textual": True},
            {"name": "COLOUR", "type": TEXT, "categorical": True},
        ],
    ),
    "actions": (
        "Actions",
        [{"name": "ACTION_ID", "type": "string"}, {"name": "VALUE", "type": ["null", "long"]}],
    ),
    "action_interactions": (
        "ActionInteractions",
        [
            {"name": "USER_ID", "type": "string"},
            {"name": "ACTION_ID", "type": "string"},
            {"name": "EVENT_TYPE", "type": "string"},
            {"name": "TIMESTAMP", "type": "long"},
        ],
    ),
}


@pytest.fixture
def include(tmp_path: Path) -> Path:
    for name in ("programs", "sql/shop", "schemas/shop"):
        (tmp_path / name).mkdir(parents=True)
    for query in (*FIELDS, "audience", "catalogue", "segments", "candidates", "seeds", "promotion"):
        (tmp_path / "sql" / "shop" / f"{query}.sql").write_text("SELECT 1")
    for dataset in FIELDS:
        write_schema(tmp_path, dataset)
    return tmp_path


def write_schema(include: Path, dataset: str, *, without: str = "") -> None:
    name, fields = FIELDS[dataset]
    kept = [field for field in fields if field["name"] != without]
    path = include / "schemas" / "shop" / f"{dataset}.json"
    path.write_text(json.dumps({**_AVRO, "name": name, "fields": kept}))


def read(include: Path, text: str) -> Program:
    (include / "programs" / "shop.yaml").write_text(f"braze: {{attribute: recs}}\n{text}")
    return read_program(include / "programs" / "shop.yaml", include)


def problems(include: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ProgramError) as caught:
        read(include, text)
    return caught.value.problems


# What each recipe needs beside the defaults.
NEEDS = {
    "aws-semantic-similarity": "datasets: {items: {}}",
    "aws-item-attribute-affinity": "datasets: {items: {}}\nrecommendations: {min_length: 1}",
    "aws-item-affinity": "recommendations: {min_length: 1}",
    "aws-next-best-action": "datasets: {actions: {}, action_interactions: {}}",
}


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_every_recipe_can_be_named_with_little_else(include: Path, recipe: str) -> None:
    program = read(include, f"personalize: {{recipe: {recipe}}}\n{NEEDS.get(recipe, '')}")
    assert program.personalize.can_update is (recipe == "aws-user-personalization")
    assert 1 <= program.personalize.results <= program.personalize.recipe_spec.max_results
    metrics = program.personalize.recipe_spec.metrics
    assert program.gate_metric in metrics if metrics else program.gate_metric is None
    input_type = program.personalize.recipe_spec.input_type
    segments = input_type in {InputType.SEGMENT_ITEM, InputType.SEGMENT_ATTRIBUTES}
    assert ("sql/shop/segments.sql" in program.files()) is segments


V2 = "personalize: {recipe: aws-user-personalization-v2"


@pytest.mark.parametrize("recipe", ["aws-user-personalization-v2", "aws-personalized-ranking"])
def test_events_update_recipes_that_know_no_update(include: Path, recipe: str) -> None:
    text = (
        f"personalize: {{recipe: {recipe}, update_by: events}}\nschedules: {{recommend_after_update: false}}"
    )
    program = read(include, text)
    assert program.streams
    assert not program.personalize.can_update
    assert program.personalize.streaming.wait_minutes == 15


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            V2 + "}\ntrain_update: {max_wait_hours: 2}",
            "shop.yaml:3: train_update: only aws-user-personalization trains in mode UPDATE, "
            "aws-user-personalization-v2 does not; remove train_update or use that recipe",
        ),
        (
            V2 + "}\nschedules: {recommend_after_update: false}",
            "schedules.recommend_after_update: only aws-user-personalization trains in mode UPDATE",
        ),
        (
            "personalize: {recipe: aws-sims, update_by: events}",
            "personalize.update_by: only aws-personalized-ranking, aws-personalized-ranking-v2, "
            "aws-user-personalization, aws-user-personalization-v2 consider streamed events",
        ),
        (V2 + ", streaming: {wait_minutes: 5}}", "personalize.streaming: is for update_by: events"),
        (
            "personalize: {update_by: events}\ntrain_update: {max_wait_hours: 2}",
            "train_update: decides about UPDATE trainings, and update_by: events has none; remove it",
        ),
        (
            V2 + ", exploration: {weight: 0.1}}",
            "personalize.exploration: aws-user-personalization-v2 explores by itself and takes no settings",
        ),
        (
            "personalize: {recipe: aws-sims, exploration: {weight: 0.1}}",
            "aws-sims does not explore; remove it or use aws-user-personalization",
        ),
        (
            V2 + "}\ngate: {metric: recall_at_1_percent}",
            "gate.metric: aws-user-personalization-v2 has the metrics coverage, mean_reciprocal_rank_at_25",
        ),
        (
            "personalize: {recipe: aws-trending-now}\ngate: {minimum: 0.1}",
            "gate.minimum: name gate.metric too: the metrics of aws-trending-now are not documented by name",
        ),
        (V2 + ", hyperparameters: {bptt: 20}}", "has no hyperparameter bptt; it has apply_recency_bias"),
        (V2 + ", hyperparameters: {apply_recency_bias: often}}", "'often', must be true or false"),
        (
            "personalize: {hyperparameters: {hidden_dimension: 300}}",
            "personalize.hyperparameters: hidden_dimension is '300', must be a whole number from 32 to 256",
        ),
        (
            "personalize: {recipe: aws-sims, hyperparameters: {popularity_discount_factor: high}}",
            "must be a number from 0 to 1",
        ),
        (
            "personalize: {recipe: aws-trending-now, hyperparameters: {trend_discovery_frequency: 2 days}}",
            "must be 30 minutes or 1 hour or 2 hours or 3 hours or 1 day",
        ),
        ("personalize: {recipe: aws-popularity-count, hyperparameters: {x: 1}}", "it has none"),
        (
            "personalize: {event_weights: {buy: 1}}",
            "aws-user-personalization cannot weigh event types, only aws-personalized-ranking-v2, "
            "aws-user-personalization-v2 can",
        ),
        (
            V2 + ", event_weights: {buy: 1, view: 0.2}, event_type: buy}",
            "personalize.event_type: event_weights replaces",
        ),
        (V2 + ", event_weights: {buy: 1.5}}", "must be at most 1"),
        (V2 + ", ranking_influence: {freshness: 1}}", "only aws-semantic-similarity has it"),
        (
            V2 + ", campaign: {requests_per_second: 5}}",
            "only aws-next-best-action, aws-trending-now need a campaign",
        ),
        (V2 + ", num_results: 501}", "gives at most 500 (it is 501)"),
        (
            "personalize: {recipe: aws-popularity-count, baseline_recipe: aws-popularity-count}",
            "is the recipe itself",
        ),
        (
            "personalize: {recipe: aws-trending-now, baseline_recipe: aws-popularity-count}",
            "has other metrics than aws-popularity-count",
        ),
        (
            "personalize: {recipe: aws-semantic-similarity}",
            "datasets: aws-semantic-similarity needs datasets.items: it works on the items' own columns; add items: {}",
        ),
        (
            "personalize: {recipe: aws-next-best-action}\ndatasets: {actions: {}}",
            "needs datasets.action_interactions: without them every action has the score 0",
        ),
        ("datasets: {actions: {}}", "datasets.actions: only aws-next-best-action uses it"),
        ("inputs: {seeds: shop/seeds.sql}", "inputs.seeds: aws-user-personalization reads no seeds; "),
        ("inputs: {candidates: ../x.sql}", "must be a path below include/"),
        (
            "personalize: {recipe: aws-item-affinity}\nrecommendations: {min_length: 1}\n"
            "audience: {segment: {items: [a]}}",
            "audience.segment: aws-item-affinity finds the people by itself",
        ),
        (
            "personalize: {recipe: aws-popularity-count}\nrecommendations: {rules: {boost: {column: c, factor: 2}}}",
            "recommendations.rules.boost: multiplies scores, and aws-popularity-count gives none",
        ),
        (
            "personalize: {recipe: aws-next-best-action}\ndatasets: {actions: {}, action_interactions: {}}\n"
            "recommendations: {rules: {promoted: {column: c, share: 0.2}}}",
            "recommendations.rules.promoted: takes items that people bought where a list has too few",
        ),
        (
            "recommendations: {rules: {promoted: {column: c, share: 0.6}, "
            "new_items_share: {days: 3, column: t, share: 0.5}}}",
            "the shares of rules.promoted and rules.new_items_share are more than 1 together",
        ),
        ("audience: {segment: {}}", "either items, a list, or sql, a file that returns item_id"),
        ("personalize: {recipe: aws-item-affinity}", "most lists are short; set min_length, usually 1"),
        (
            "personalize: {recipe: aws-next-best-action}\ndatasets: {actions: {}, action_interactions: {}}\n"
            "recommendations: {fallback: [popular], rules: {not_bought_in_days: 3}}",
            "recommendations.rules.not_bought_in_days: looks at interactions with items, but the lists hold actions",
        ),
    ],
)
def test_what_a_recipe_cannot_do_is_refused(include: Path, text: str, expected: str) -> None:
    found = problems(include, text)
    assert any(expected in line for line in found), found


def test_all_that_is_wrong_is_told_at_once(include: Path) -> None:
    found = problems(include, V2 + ", exploration: {weight: 0}, num_results: 3}\ntrain_update: {}")
    assert len(found) == 3


@pytest.mark.parametrize(
    ("recipe", "dataset", "without", "expected"),
    [
        ("aws-semantic-similarity", "items", "NAME", 'a string field with "itemName": true'),
        ("aws-semantic-similarity", "items", "STORY", 'a string field with "textual": true'),
        (
            "aws-next-best-action",
            "action_interactions",
            "EVENT_TYPE",
            "needs field EVENT_TYPE of type string, not null",
        ),
    ],
)
def test_a_schema_that_lacks_what_the_recipe_needs_is_named(
    include: Path, recipe: str, dataset: str, without: str, expected: str
) -> None:
    write_schema(include, dataset, without=without)
    (line,) = problems(include, f"personalize: {{recipe: {recipe}}}\n{NEEDS[recipe]}")
    assert expected in line
    assert f"include/schemas/shop/{dataset}.json" in line


def test_event_weights_need_event_types_in_the_schema(include: Path) -> None:
    write_schema(include, "interactions", without="EVENT_TYPE")
    (line,) = problems(include, V2 + ", event_weights: {buy: 1}}")
    assert "personalize.event_weights: needs a field EVENT_TYPE of type string" in line


def test_the_files_of_inputs_must_be_there(include: Path) -> None:
    (line,) = problems(include, "audience: {segment: {sql: shop/nowhere.sql}}")
    assert line == "shop.yaml:2: audience.segment.sql: include/sql/shop/nowhere.sql does not exist; write it"


@pytest.mark.parametrize(
    ("personalize", "config", "job"),
    [
        (
            {"recipe": "aws-user-personalization", "exploration": {"weight": 0.25}},
            {},
            {"itemExplorationConfig": {"explorationWeight": "0.25", "explorationItemAgeCutOff": "30"}},
        ),
        (
            {"recipe": "aws-personalized-ranking", "hyperparameters": {"recency_mask": False, "bptt": 8}},
            {"algorithmHyperParameters": {"recency_mask": "False", "bptt": "8"}},
            None,
        ),
        (
            {
                "recipe": "aws-user-personalization-v2",
                "hyperparameters": {"apply_recency_bias": False},
                "event_weights": {"buy": 1},
            },
            {
                "algorithmHyperParameters": {"apply_recency_bias": "false"},
                "eventsConfig": {"eventParametersList": [{"eventType": "buy", "weight": 1.0}]},
            },
            None,
        ),
        (
            {"recipe": "aws-sims", "hyperparameters": {"max_item_interaction_count_percentile": 0.5}},
            {"featureTransformationParameters": {"max_item_interaction_count_percentile": "0.5"}},
            None,
        ),
        (
            {"recipe": "aws-semantic-similarity", "ranking_influence": {"freshness": 0.5}},
            {},
            {"rankingInfluence": {"POPULARITY": 0.0, "FRESHNESS": 0.5}},
        ),
    ],
)
def test_what_the_program_says_reaches_the_service_as_it_spells_it(
    include: Path, personalize: dict[str, object], config: dict[str, object], job: dict[str, object] | None
) -> None:
    text = yaml.safe_dump({"personalize": personalize})
    program = read(include, text + "datasets: {items: {}}\n")
    assert (program.personalize.solution_config, program.personalize.job_config) == (config, job)


def test_a_status_catalog_needs_an_age() -> None:
    limit, status = "recommendations: {max_age_days: 9}\n", "braze: {attribute: recs, status_catalog: x}\n"
    assert parse_program("shop", yaml.safe_load(limit + status)).braze.status_catalog == "x"
    with pytest.raises(
        ValidationError, match=r"says until when lists may be mailed; say recommendations\.max_age"
    ):
        parse_program("shop", yaml.safe_load(status))
