"""UpdateDataset and UpdateSolution: states of their own while the resource stays ACTIVE."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest

FIELDS = [
    {"name": "ITEM_ID", "type": "string"},
    {"name": "CATEGORY", "type": ["null", "string"], "categorical": True},
    {"name": "PRICE", "type": "float"},
]
BRAND = {"name": "BRAND", "type": ["null", "string"], "categorical": True}


def items(*fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "record",
        "name": "Items",
        "namespace": "com.amazonaws.personalize.schema",
        "version": "1.0",
        "fields": list(fields),
    }


def wait_for_update(world: Any, noun: str, arn: str) -> dict[str, Any]:
    while True:
        update: dict[str, Any] = world.describe(noun, arn)[f"latest{noun}Update"]
        if update["status"] in {"ACTIVE", "CREATE FAILED"}:
            return update
        time.sleep(0.02)


@pytest.fixture(scope="module")
def group(world: Any) -> str:
    """Return a dataset group for this module."""
    return str(world.group())


@pytest.fixture(scope="module")
def dataset(world: Any, group: str) -> str:
    """Return an Items dataset that no test changes."""
    return str(world.dataset(group, items(*FIELDS)))


def test_a_schema_grows_and_old_rows_get_nulls(world: Any, fast_server: Any) -> None:
    arn = world.dataset(world.group(), items(*FIELDS))
    world.import_csv(arn, "ITEM_ID,CATEGORY,PRICE\ni1,a,1\n")
    assert "latestDatasetUpdate" not in world.describe("Dataset", arn)
    solution = world.solution(world.describe("Dataset", arn)["datasetGroupArn"])
    schema = world.schema(items(FIELDS[0], BRAND, *FIELDS[1:]))
    assert world.personalize.update_dataset(datasetArn=arn, schemaArn=schema)["datasetArn"] == arn
    update = wait_for_update(world, "Dataset", arn)
    assert (update["status"], update["schemaArn"]) == ("ACTIVE", schema)
    described = world.describe("Dataset", arn)
    assert (described["status"], described["schemaArn"]) == ("ACTIVE", schema)
    failed = world.import_csv(arn, "ITEM_ID,CATEGORY,PRICE\ni2,a,1\n", "INCREMENTAL")
    assert "columns:[BRAND]" in failed["failureReason"]
    world.import_csv(arn, "ITEM_ID,BRAND,CATEGORY,PRICE\ni2,b,a,1\n", "INCREMENTAL")
    stored = fast_server.service._store
    rows = [r for part in stored.get(arn).internal["parts"] for r in pq.read_table(part).to_pylist()]
    assert [(row["ITEM_ID"], row["BRAND"]) for row in rows] == [("i1", None), ("i2", "b")]
    # A solution made before goes on without the new column.
    assert stored.get(solution).internal["excluded_columns"] == {"ITEMS": ["BRAND"]}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (FIELDS[:2], "PRICE"),
        ([*FIELDS[:2], {"name": "PRICE", "type": ["null", "float"]}], "PRICE"),
        ([FIELDS[0], {"name": "CATEGORY", "type": ["null", "string"]}, FIELDS[2]], "CATEGORY"),
        ([*FIELDS, {"name": "BRAND", "type": "string"}], "must allow null"),
    ],
)
def test_a_schema_that_loses_or_changes_fields_is_refused(
    world: Any, dataset: str, refused: Callable[..., Any], fields: list[dict[str, Any]], text: str
) -> None:
    schema = world.schema(items(*fields))
    error = refused(world.personalize.update_dataset, datasetArn=dataset, schemaArn=schema)
    assert error.code == "InvalidInputException"
    assert text in error.message


def test_only_items_and_users_take_a_new_schema(
    world: Any, group: str, dataset: str, refused: Callable[..., Any]
) -> None:
    interactions = world.dataset(group)
    schema = world.describe("Dataset", interactions)["schemaArn"]
    error = refused(world.personalize.update_dataset, datasetArn=interactions, schemaArn=schema)
    assert "INTERACTIONS cannot be replaced" in error.message
    error = refused(world.personalize.update_dataset, datasetArn=dataset, schemaArn=schema)
    assert "describes INTERACTIONS" in error.message


def test_an_update_in_progress_keeps_others_out(
    start_server: Callable[..., Any], make_world: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    world = make_world(start_server(time_scale=0.6).url)
    arn = world.dataset(world.group(), items(*FIELDS))
    schema = world.schema(items(*FIELDS, BRAND))
    world.personalize.update_dataset(datasetArn=arn, schemaArn=schema)
    described = world.describe("Dataset", arn)
    assert (described["status"], described["latestDatasetUpdate"]["status"]) == ("ACTIVE", "CREATE PENDING")
    calls = [
        (world.personalize.update_dataset, {"datasetArn": arn, "schemaArn": schema}),
        (world.personalize.delete_dataset, {"datasetArn": arn}),
        (world.personalize.delete_schema, {"schemaArn": schema}),
        (
            world.personalize.create_dataset_import_job,
            {"jobName": "j", "datasetArn": arn, "dataSource": {"dataLocation": "s3://bucket/x.csv"}},
        ),
    ]
    for call, params in calls:
        assert refused(call, **params).code == "ResourceInUseException", params
    assert wait_for_update(world, "Dataset", arn)["status"] == "ACTIVE"


def test_a_solution_takes_a_new_schedule_and_event_weights(
    world: Any, group: str, refused: Callable[..., Any]
) -> None:
    solution = world.solution(group, "aws-user-personalization-v2")
    events = {"eventParametersList": [{"eventType": "buy", "weight": 0.8}]}
    config = {"autoTrainingConfig": {"schedulingExpression": "rate(3 days)"}, "eventsConfig": events}
    world.personalize.update_solution(
        solutionArn=solution, performAutoTraining=False, solutionUpdateConfig=config
    )
    update = wait_for_update(world, "Solution", solution)
    assert (update["performAutoTraining"], update["solutionUpdateConfig"]) == (False, config)
    described = world.describe("Solution", solution)
    assert (described["performAutoTraining"], described["status"]) == (False, "ACTIVE")
    assert described["solutionConfig"] == config
    error = refused(world.personalize.update_solution, solutionArn=solution)
    assert "Nothing to update" in error.message


def test_a_solution_without_event_weights_refuses_them(
    world: Any, group: str, refused: Callable[..., Any]
) -> None:
    solution = world.solution(group)
    events = {"eventParametersList": [{"eventType": "buy", "weight": 0.8}]}
    bad = [
        {"solutionUpdateConfig": {"eventsConfig": events}},
        {"performIncrementalUpdate": True},
        {"solutionUpdateConfig": {"autoTrainingConfig": {"schedulingExpression": "rate(31 days)"}}},
    ]
    for options in bad:
        error = refused(world.personalize.update_solution, solutionArn=solution, **options)
        assert error.code == "InvalidInputException", options
