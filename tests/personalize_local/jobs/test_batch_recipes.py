"""Every other recipe through the server: training, its metrics, batch and segment jobs, line by line."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

ROLE = "arn:aws:iam::000000000000:role/PersonalizeRole"
INTERACTIONS = {
    "type": "record",
    "name": "Interactions",
    "namespace": "com.amazonaws.personalize.schema",
    "version": "1.0",
    "fields": [
        {"name": "USER_ID", "type": "string"},
        {"name": "ITEM_ID", "type": "string"},
        {"name": "EVENT_TYPE", "type": "string"},
        {"name": "EVENT_VALUE", "type": ["null", "float"]},
        {"name": "TIMESTAMP", "type": "long"},
    ],
}
ITEMS = {
    **INTERACTIONS,
    "name": "Items",
    "fields": [
        {"name": "ITEM_ID", "type": "string"},
        {"name": "KIND", "type": "string", "categorical": True},
        {"name": "SHELF", "type": ["null", "string"]},
        {"name": "TITLE", "type": "string", "itemName": True},
        {"name": "TEXT", "type": "string", "textual": True},
    ],
}
USERS = {
    **INTERACTIONS,
    "name": "Users",
    "fields": [
        {"name": "USER_ID", "type": "string"},
        {"name": "CITY", "type": "string", "categorical": True},
    ],
}
ACTIONS = {
    **INTERACTIONS,
    "name": "Actions",
    "fields": [{"name": "ACTION_ID", "type": "string"}, {"name": "VALUE", "type": ["null", "long"]}],
}
ACTION_INTERACTIONS = {
    **INTERACTIONS,
    "name": "ActionInteractions",
    "fields": [
        {"name": "USER_ID", "type": "string"},
        {"name": "ACTION_ID", "type": "string"},
        {"name": "EVENT_TYPE", "type": "string"},
        {"name": "TIMESTAMP", "type": "long"},
    ],
}
KINDS = ("even", "odd")
SEGMENT_METRICS = {"coverage", "hits_at_1_percent", "recall_at_1_percent"}


def csv(*columns: str, rows: list[tuple[object, ...]]) -> str:
    return "\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n"


@pytest.fixture(scope="module")
def group(world: Any, checkerboard_csv: str) -> str:
    """Return a dataset group in which even users like even items, with all kinds of datasets."""
    arn = str(world.group())
    contents = {
        "Interactions": checkerboard_csv,
        "Items": csv(
            *("ITEM_ID", "KIND", "SHELF", "TITLE", "TEXT"),
            rows=[
                (
                    f"i{n}",
                    f"{KINDS[n % 2]}|all",
                    n // 10,
                    f"{KINDS[n % 2]} thing {n}",
                    f"made of word{n // 2}",
                )
                for n in range(50)
            ],
        ),
        "Users": csv("USER_ID", "CITY", rows=[(f"u{n}", "Ulm" if n < 30 else "Bonn") for n in range(60)]),
        "Actions": csv("ACTION_ID", "VALUE", rows=[("join", 5), ("rate", 5)]),
        "ActionInteractions": csv(
            *("USER_ID", "ACTION_ID", "EVENT_TYPE", "TIMESTAMP"),
            rows=[
                (f"u{n}", action, "Taken" if (n % 2 == 0) == (action == "join") else "Viewed", time)
                for n in range(60)
                for action in ("join", "rate")
                for time in range(1_700_000_000, 1_700_000_000 + 10 * 86_400, 86_400)
            ],
        ),
    }
    kinds = ("INTERACTIONS", "ITEMS", "USERS", "ACTIONS", "ACTION_INTERACTIONS")
    for kind, record in zip(kinds, (INTERACTIONS, ITEMS, USERS, ACTIONS, ACTION_INTERACTIONS), strict=True):
        dataset = world.personalize.create_dataset(
            name=world.name("dataset"),
            schemaArn=world.schema(record),
            datasetGroupArn=arn,
            datasetType=kind,
        )["datasetArn"]
        world.wait("Dataset", dataset)
        done = world.import_csv(dataset, contents[record["name"]])
        assert done["status"] == "ACTIVE", done
    return arn


@pytest.fixture(scope="module")
def version(world: Any, group: str) -> Callable[..., dict[str, Any]]:
    """Return a function that trains a recipe once, and checks that it became ACTIVE."""
    known: dict[str, dict[str, Any]] = {}

    def train(recipe: str) -> dict[str, Any]:
        if recipe not in known:
            known[recipe] = world.train(world.solution(group, recipe))
            assert known[recipe]["status"] == "ACTIVE", known[recipe]
        return known[recipe]

    return train


@pytest.fixture
def answers(world: Any, version: Any) -> Callable[..., list[dict[str, Any]]]:
    """Return a function that runs a job with some lines and returns the output lines, in the order of the input."""

    def run(recipe: str, lines: list[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
        name = world.name("run")
        source = world.put(f"{name}-in/in.json", "".join(json.dumps(line) + "\n" for line in lines))
        request = {
            "jobName": name,
            "solutionVersionArn": version(recipe)["solutionVersionArn"],
            "jobInput": {"s3DataSource": {"path": source}},
            "jobOutput": {"s3DataDestination": {"path": f"s3://{world.bucket}/{name}-out/"}},
            "roleArn": ROLE,
            **options,
        }
        noun = "BatchSegmentJob" if recipe.endswith("affinity") else "BatchInferenceJob"
        create = getattr(world.personalize, f"create_batch_{'segment' if 'Seg' in noun else 'inference'}_job")
        done = world.wait(
            noun, next(value for key, value in create(**request).items() if key.endswith("Arn"))
        )
        assert done["status"] == "ACTIVE", done
        output = [json.loads(line) for line in world.read(f"{name}-out/in.json.out").splitlines()]
        return sorted(output, key=lambda entry: lines.index(entry["input"]))

    return run


@pytest.fixture
def make_filter(world: Any, group: str) -> Callable[[str], str]:
    """Return a function that makes a filter and returns its ARN."""

    def make(expression: str) -> str:
        reply = world.personalize.create_filter(
            name=world.name("filter"), datasetGroupArn=group, filterExpression=expression
        )
        world.wait("Filter", reply["filterArn"])
        return str(reply["filterArn"])

    return make


def test_rankings_are_as_long_as_the_list_with_scores_for_known_items(answers: Any) -> None:
    lines = [
        {"userId": "u2", "itemList": ["i1", "i2", "i3", "nothing"]},
        {"userId": "u2"},
        {"itemList": ["i1"]},
        {"userId": "u2", "itemList": "i1"},
    ]
    ranked, *failed = answers("aws-personalized-ranking", lines, numResults=2)
    assert sorted(ranked["output"]["recommendedItems"]) == ["i1", "i2", "i3", "nothing"]
    assert ranked["output"]["recommendedItems"][-1] == "nothing"
    assert len(ranked["output"]["scores"]) == 3
    assert set(ranked) == {"input", "output"}
    expected = "User error: Required fields for the provided recipe are userId, itemList"
    assert [line["error"] for line in failed] == [expected] * 3


def test_a_filter_shortens_a_ranking(answers: Any, make_filter: Any) -> None:
    arn = make_filter('EXCLUDE ItemID WHERE Items.KIND IN ("odd")')
    items = [f"i{n}" for n in range(50)]
    (ranked,) = answers(
        "aws-personalized-ranking", [{"userId": "u2", "itemList": items}], filterArn=arn, numResults=3
    )
    assert sorted(ranked["output"]["recommendedItems"]) == sorted(items[::2])
    assert len(ranked["output"]["scores"]) == 25


@pytest.mark.parametrize("recipe", ["aws-sims", "aws-similar-items", "aws-semantic-similarity"])
def test_related_items_have_no_scores_and_are_of_the_same_kind(answers: Any, recipe: str) -> None:
    lines = [{"itemId": "i4"}, {"itemId": "nothing"}, {"userId": "u1"}]
    related, unknown, failed = answers(recipe, lines, numResults=5)
    assert set(related) == set(unknown) == {"input", "output"}
    assert set(related["output"]) == {"recommendedItems"}
    kinds = [int(item[1:]) % 2 for item in related["output"]["recommendedItems"]]
    assert kinds.count(0) >= 4
    assert len(unknown["output"]["recommendedItems"]) == 5
    assert failed["error"] == "User error: Required fields for the provided recipe are itemId"
    assert failed["output"] == {"recommendedItems": []}


def test_reasons_come_with_user_personalization_v2(answers: Any) -> None:
    known, unknown = answers(
        "aws-user-personalization-v2", [{"userId": "u1"}, {"userId": "nobody"}], numResults=2
    )
    assert known["output"]["reasons"] == [[], []]
    assert unknown["output"]["reasons"] == [["Popular item"]] * 2
    assert known["error"] is None


def test_themes_name_what_the_items_share(answers: Any) -> None:
    (one,) = answers(
        "aws-similar-items",
        [{"itemId": "i4"}],
        numResults=10,
        batchInferenceJobMode="THEME_GENERATION",
        themeGenerationConfig={"fieldsForThemeGeneration": {"itemName": "TITLE"}},
    )
    output = one["output"]
    assert "Even" in output["theme"]
    assert len(output["itemsThemeRelevanceScores"]) == len(output["recommendedItems"]) == 10
    assert all(0 <= score <= 1 for score in output["itemsThemeRelevanceScores"])


def test_item_affinity_finds_the_users_of_the_kind(version: Any, answers: Any, world: Any) -> None:
    lines = [{"itemId": "i4"}, {"itemId": "nothing"}, {"itemAttributes": "x"}]
    found, unknown, failed = answers("aws-item-affinity", lines, numResults=20)
    assert set(found) == {"input", "output"}
    assert set(found["output"]) == {"recommendedUsers"}
    assert [int(user[1:]) % 2 for user in found["output"]["recommendedUsers"]] == [0] * 20
    assert "nothing" in unknown["error"]
    assert failed["error"] == "User error: Required fields for the provided recipe are itemId"
    assert failed["output"] == {"recommendedUsers": []}
    arn = version("aws-item-affinity")["solutionVersionArn"]
    assert set(world.personalize.get_solution_metrics(solutionVersionArn=arn)["metrics"]) == SEGMENT_METRICS


def test_attribute_affinity_finds_users_by_any_column_but_the_text(answers: Any) -> None:
    texts = ['ITEMS.KIND = "odd"', 'ITEMS.KIND = "even" AND ITEMS.SHELF = "1"', 'ITEMS.TEXT = "x"', "what"]
    odd, even, text, broken = answers(
        "aws-item-attribute-affinity", [{"itemAttributes": text} for text in texts], numResults=20
    )
    assert [int(user[1:]) % 2 for user in odd["output"]["recommendedUsers"]] == [1] * 20
    assert [int(user[1:]) % 2 for user in even["output"]["recommendedUsers"]] == [0] * 20
    assert "TEXT" in text["error"]
    assert broken["error"].startswith("User error: Invalid itemAttributes expression")


@pytest.mark.parametrize(
    ("recipe", "line", "most"),
    [
        ("aws-item-affinity", {"itemId": "i4"}, 500),
        ("aws-item-attribute-affinity", {"itemAttributes": 'ITEMS.KIND = "odd"'}, 10),
    ],
)
def test_a_segment_job_takes_so_many_lines_per_file(
    world: Any, version: Any, recipe: str, line: dict[str, str], most: int
) -> None:
    name = world.name("too-many")
    source = world.put(f"{name}-in/in.json", (json.dumps(line) + "\n") * (most + 1))
    arn = world.personalize.create_batch_segment_job(
        jobName=name,
        solutionVersionArn=version(recipe)["solutionVersionArn"],
        jobInput={"s3DataSource": {"path": source}},
        jobOutput={"s3DataDestination": {"path": f"s3://{world.bucket}/{name}-out/"}},
        roleArn=ROLE,
    )["batchSegmentJobArn"]
    failed = world.wait("BatchSegmentJob", arn)
    assert failed["status"] == "CREATE FAILED"
    assert f"at most {most} lines" in failed["failureReason"]


def test_a_filter_leaves_only_some_users_in_a_segment(answers: Any, make_filter: Any) -> None:
    arn = make_filter("INCLUDE UserID WHERE Users.CITY IN ($CITY)")
    lines = [{"itemId": "i4", "filterValues": {"CITY": '"Bonn"'}}, {"itemId": "i4"}]
    found, failed = answers("aws-item-affinity", lines, numResults=50, filterArn=arn)
    users = [int(user[1:]) for user in found["output"]["recommendedUsers"]]
    assert sorted(users) == list(range(30, 60))
    assert all(user % 2 == 0 for user in users[:15])
    assert "CITY" in failed["error"]


def test_next_best_action_and_trending_now_are_trained_but_have_no_batch(
    world: Any, version: Any, refused: Callable[..., Any]
) -> None:
    for recipe in ("aws-next-best-action", "aws-trending-now"):
        arn = version(recipe)["solutionVersionArn"]
        assert world.personalize.get_solution_metrics(solutionVersionArn=arn)["metrics"]["coverage"] > 0
        error = refused(
            world.personalize.create_batch_inference_job,
            jobName="never",
            solutionVersionArn=arn,
            jobInput={"s3DataSource": {"path": "s3://b/in/"}},
            jobOutput={"s3DataDestination": {"path": "s3://b/out/"}},
            roleArn=ROLE,
        )
        assert error.code == "InvalidInputException"


def test_the_best_of_the_hyperparameters_tried_is_told(world: Any, group: str) -> None:
    config = {
        "hpoConfig": {
            "hpoResourceConfig": {"maxNumberOfTrainingJobs": "3", "maxParallelTrainingJobs": "1"},
            "algorithmHyperParameterRanges": {
                "integerHyperParameterRanges": [
                    {"name": "min_cointeraction_count", "minValue": 1, "maxValue": 5}
                ],
                "continuousHyperParameterRanges": [
                    {"name": "popularity_discount_factor", "minValue": 0.2, "maxValue": 0.6}
                ],
            },
        }
    }
    solution = world.solution(group, "aws-sims", performHPO=True, solutionConfig=config)
    tuned = world.train(solution)["tunedHPOParams"]["algorithmHyperParameters"]
    assert 1 <= int(tuned["min_cointeraction_count"]) <= 5
    assert 0.2 <= float(tuned["popularity_discount_factor"]) <= 0.6
    # A dataset group has room for ten solutions.
    world.personalize.delete_solution(solutionArn=solution)
    world.wait_gone(
        lambda: [
            entry
            for entry in world.personalize.list_solutions(datasetGroupArn=group)["solutions"]
            if entry["solutionArn"] == solution
        ]
    )


def test_events_are_chosen_by_their_parameters(world: Any, group: str) -> None:
    events = [{"eventType": "buy", "weight": 0.9}, {"eventType": "nothing", "weight": 0.1}]
    config = {"eventsConfig": {"eventParametersList": events}}
    solution = world.solution(group, "aws-user-personalization-v2", solutionConfig=config)
    # The checkerboard has 900 buys: too few once views are left out.
    assert world.train(solution)["status"] == "CREATE FAILED"
