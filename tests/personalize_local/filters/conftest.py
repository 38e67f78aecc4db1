"""Put the shop of the filters into a server, and make filters and batch jobs there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from filter_shop import INTERACTIONS, ITEMS, ROWS, USERS, csv

Entry = dict[str, Any]
# What makes the jobs of a recipe; all other recipes have batch inference jobs.
SEGMENT_RECIPE = "aws-item-affinity"


@pytest.fixture(scope="session")
def world(shop: Any) -> Any:
    """Return a driver of the fast server in a region (and so with quotas) of the filters' own."""
    return replace(shop, region="filters-1")


@pytest.fixture(scope="session")
def group(world: Any) -> Iterator[str]:
    """Return a dataset group with the rows of the shop."""
    arn = world.group()
    for schema, rows in ((INTERACTIONS, ROWS.interactions), (ITEMS, ROWS.items), (USERS, ROWS.users)):
        assert world.import_csv(world.dataset(arn, schema), csv(schema, rows))["status"] == "ACTIVE"
    yield arn
    remove_filters(world, arn)
    world.remove_group(arn)


@pytest.fixture(scope="session")
def train(world: Any) -> Callable[[str, str], str]:
    """Return a function: group and recipe in, solution version out, each trained once."""
    known: dict[tuple[str, str], str] = {}

    def trained(group: str, recipe: str) -> str:
        if (group, recipe) not in known:
            version = world.train(world.solution(group, recipe))
            assert version["status"] == "ACTIVE", version
            known[group, recipe] = version["solutionVersionArn"]
        return known[group, recipe]

    return trained


@pytest.fixture
def version(train: Callable[[str, str], str], group: str) -> str:
    """Return a solution version that recommends items of the shop to its users."""
    return train(group, "aws-user-personalization")


def remove_filters(world: Any, group: str) -> None:
    for entry in world.personalize.list_filters(datasetGroupArn=group)["Filters"]:
        world.personalize.delete_filter(filterArn=entry["filterArn"])
    world.wait_gone(lambda: world.personalize.list_filters(datasetGroupArn=group)["Filters"])


@pytest.fixture
def make_filter(world: Any, group: str) -> Iterator[Callable[..., str]]:
    """Return a function that creates a filter and waits until it is ACTIVE; the test's filters are deleted."""
    groups = {group}

    def make(expression: str, dataset_group: str = group) -> str:
        groups.add(dataset_group)
        arn = world.personalize.create_filter(
            name=world.name("filter"), datasetGroupArn=dataset_group, filterExpression=expression
        )["filterArn"]
        found = world.wait("Filter", arn)
        assert (found["status"], found["filterExpression"]) == ("ACTIVE", expression)
        return str(arn)

    yield make
    for each in groups:
        remove_filters(world, each)


@pytest.fixture
def run_job(
    world: Any, group: str, train: Callable[[str, str], str], make_filter: Callable[..., str]
) -> Callable[..., list[Entry]]:
    """Return a function that runs a real batch job: output entries in the order of the input lines."""

    def run(
        recipe: str, expression: str, lines: list[Entry], dataset_group: str = group, **options: Any
    ) -> list[Entry]:
        prefix = f"{world.region}/{world.name('filtered')}"
        source = world.put(f"{prefix}/in.json", "".join(json.dumps(line) + "\n" for line in lines))
        request = {
            "jobName": world.name("filtered"),
            "solutionVersionArn": train(dataset_group, recipe),
            "filterArn": make_filter(expression, dataset_group),
            "jobInput": {"s3DataSource": {"path": source}},
            "jobOutput": {"s3DataDestination": {"path": f"s3://{world.bucket}/{prefix}-out/"}},
            "roleArn": "arn:aws:iam::000000000000:role/PersonalizeRole",
            "numResults": 100,
            **options,
        }
        if recipe == SEGMENT_RECIPE:
            noun, arn = "BatchSegmentJob", "batchSegmentJobArn"
            reply = world.personalize.create_batch_segment_job(**request)
        else:
            noun, arn = "BatchInferenceJob", "batchInferenceJobArn"
            reply = world.personalize.create_batch_inference_job(**request)
        found = world.wait(noun, reply[arn])
        assert (found["status"], found["filterArn"]) == ("ACTIVE", request["filterArn"])
        entries = [json.loads(text) for text in world.read(f"{prefix}-out/in.json.out").splitlines()]
        assert len(entries) == len(lines)
        return sorted(entries, key=lambda entry: lines.index(entry["input"]))

    return run


@pytest.fixture
def run_filtered(run_job: Callable[..., list[Entry]]) -> Callable[..., dict[str, Entry]]:
    """Return a function: expression and lines of users in, output entry per user out."""

    def run(expression: str, *lines: Entry, **options: Any) -> dict[str, Entry]:
        entries = run_job("aws-user-personalization", expression, list(lines), **options)
        return {entry["input"]["userId"]: entry for entry in entries}

    return run
