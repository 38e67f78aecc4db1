"""One solution version and one input give one output: what a rollback relies on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from personalize_local.server import Server


def recommendations(world: Any, version: str, users: list[str]) -> dict[str, Any]:
    """Run a batch job of its own name, and return the output by user: the order of lines is the job's."""
    name = world.name("repeat")
    source = world.put(f"{name}/in.json", "".join(f'{{"userId":"{user}"}}\n' for user in users))
    arn = world.start_batch(version, source, f"s3://{world.bucket}/{name}-out/")
    assert world.wait("BatchInferenceJob", arn)["status"] == "ACTIVE"
    lines = [json.loads(line) for line in world.read(f"{name}-out/in.json.out").splitlines()]
    return {line["input"]["userId"]: line["output"] for line in lines}


@pytest.mark.parametrize("recipe", ["aws-user-personalization", "aws-user-personalization-v2"])
def test_the_output_depends_on_version_and_input_only(
    start_server: Callable[..., Server], make_world: Callable[..., Any], checkerboard_csv: str, recipe: str
) -> None:
    server = start_server()
    world = make_world(server.url)
    dataset = world.dataset(world.group())
    world.import_csv(dataset, checkerboard_csv)
    solution = world.solution(world.describe("Dataset", dataset)["datasetGroupArn"], recipe)
    version = world.train(solution)["solutionVersionArn"]
    users = [f"u{number}" for number in range(60)] + ["nobody"]
    first = recommendations(world, version, users)

    assert recommendations(world, version, users[::-1]) == first
    some = recommendations(world, version, users[5:9])
    assert some == {user: first[user] for user in users[5:9]}

    # Neither a newer version nor newer data nor a restart changes what the former version says.
    later = checkerboard_csv.replace("u5,", "u500,").replace("17000", "17001")
    world.import_csv(dataset, later, mode="INCREMENTAL")
    newer = world.train(solution)["solutionVersionArn"]
    assert recommendations(world, version, users) == first
    assert recommendations(world, newer, users) != first
    server.close()
    again = make_world(start_server().url)
    assert recommendations(again, version, users) == first
