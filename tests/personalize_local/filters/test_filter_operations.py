"""Filters as resources: quotas, life cycle, and which jobs may use which filter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from filter_shop import ITEM_ID, ITEMS, column, record

ANY_EVENT = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'
CURRENT_ITEM = "INCLUDE ItemID WHERE Items.CATEGORY_L1 IN CurrentItem.CATEGORY_L1"


def test_a_group_has_30_filters(
    world: Any, group: str, make_filter: Callable[[str], str], refused: Callable[..., Any]
) -> None:
    arns = [make_filter(ANY_EVENT) for _ in range(30)]
    params = {"name": "more", "datasetGroupArn": group, "filterExpression": ANY_EVENT}
    assert refused(world.personalize.create_filter, **params).code == "LimitExceededException"
    listed = world.personalize.list_filters(datasetGroupArn=group, maxResults=20)
    rest = world.personalize.list_filters(datasetGroupArn=group, nextToken=listed["nextToken"])
    assert [entry["filterArn"] for entry in (*listed["Filters"], *rest["Filters"])] == arns
    assert "filterExpression" not in listed["Filters"][0]
    world.personalize.delete_filter(filterArn=arns[0])
    world.wait_gone(
        lambda: [f for f in world.personalize.list_filters()["Filters"] if f["filterArn"] == arns[0]]
    )
    assert world.personalize.create_filter(**params)["filterArn"].endswith(":filter/more")


def test_fields_are_limited_per_filter_and_over_the_group(world: Any, refused: Callable[..., Any]) -> None:
    group = world.group()
    names = [f"F{n}" for n in range(21)]
    world.dataset(group, record("Items", ITEM_ID, *(column(name, "int") for name in names)))

    def params(fields: list[str]) -> dict[str, str]:
        tests = " AND ".join(f"Items.{name} > 1" for name in fields)
        return {"datasetGroupArn": group, "filterExpression": f"INCLUDE ItemID WHERE {tests}"}

    eleven = refused(world.personalize.create_filter, name="eleven", **params(names[:11]))
    assert (eleven.code, "10 distinct fields" in eleven.message) == ("InvalidInputException", True)
    made = [
        world.personalize.create_filter(name=f"f{n}", **params(fields))["filterArn"]
        for n, fields in enumerate((names[:10], [name.lower() for name in names[10:20]], names[5:15]))
    ]
    over = refused(world.personalize.create_filter, name="over", **params(names[20:]))
    assert (over.code, "at most 20" in over.message) == ("LimitExceededException", True)
    for arn in made:
        world.wait("Filter", arn)
        world.personalize.delete_filter(filterArn=arn)
    world.wait_gone(lambda: world.personalize.list_filters(datasetGroupArn=group)["Filters"])
    world.remove_group(group)


def test_names_are_free_again_after_deletion(
    world: Any, group: str, make_filter: Callable[[str], str], refused: Callable[..., Any]
) -> None:
    arn = make_filter(ANY_EVENT)
    params = {"name": arn.rsplit("/", 1)[-1], "datasetGroupArn": group, "filterExpression": ANY_EVENT}
    assert refused(world.personalize.create_filter, **params).code == "ResourceAlreadyExistsException"
    world.personalize.delete_filter(filterArn=arn)
    world.wait_gone(lambda: world.personalize.list_filters(datasetGroupArn=group)["Filters"])
    assert refused(world.personalize.describe_filter, filterArn=arn).code == "ResourceNotFoundException"
    assert world.personalize.create_filter(**params)["filterArn"] == arn
    world.wait("Filter", arn)


def test_a_filter_outlives_the_job_that_uses_it(
    start_server: Callable[..., Any],
    make_world: Callable[..., Any],
    refused: Callable[..., Any],
    checkerboard_csv: str,
) -> None:
    # States last long enough for the job to be met while it runs.
    slow = make_world(start_server(time_scale=0.2).url)
    group = slow.group()
    assert slow.import_csv(slow.dataset(group), checkerboard_csv)["status"] == "ACTIVE"
    version = slow.train(slow.solution(group, "aws-popularity-count"))["solutionVersionArn"]
    arn = slow.personalize.create_filter(name="used", datasetGroupArn=group, filterExpression=ANY_EVENT)[
        "filterArn"
    ]
    slow.wait("Filter", arn)
    source = slow.put("outlives/users.json", '{"userId":"u1"}\n')
    job = slow.start_batch(version, source, f"s3://{slow.bucket}/outlives-out/", filterArn=arn)
    assert refused(slow.personalize.delete_filter, filterArn=arn).code == "ResourceInUseException"
    assert slow.wait("BatchInferenceJob", job)["status"] == "ACTIVE"
    slow.personalize.delete_filter(filterArn=arn)
    slow.wait_gone(lambda: slow.personalize.list_filters(datasetGroupArn=group)["Filters"])


def start(world: Any, version: str, arn: str) -> dict[str, Any]:
    return {
        "jobName": "refused",
        "solutionVersionArn": version,
        "filterArn": arn,
        "jobInput": {"s3DataSource": {"path": "s3://bucket/in/"}},
        "jobOutput": {"s3DataDestination": {"path": "s3://bucket/out/"}},
        "roleArn": "arn:aws:iam::000000000000:role/r",
    }


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        (CURRENT_ITEM, "CurrentItem"),
        ('INCLUDE UserID WHERE Users.COUNTRY IN ("Peru")', "ItemID, not of UserID"),
    ],
)
def test_a_job_refuses_a_filter_its_recipe_cannot_apply(
    world: Any,
    version: str,
    make_filter: Callable[[str], str],
    refused: Callable[..., Any],
    expression: str,
    reason: str,
) -> None:
    request = start(world, version, make_filter(expression))
    error = refused(world.personalize.create_batch_inference_job, **request)
    assert (error.code, reason in error.message) == ("InvalidInputException", True)


def test_a_job_refuses_a_filter_of_another_group(
    world: Any, version: str, refused: Callable[..., Any]
) -> None:
    other = world.group()
    world.dataset(other, ITEMS)
    arn = world.personalize.create_filter(
        name="foreign", datasetGroupArn=other, filterExpression="INCLUDE ItemID WHERE Items.PRICE > 3"
    )["filterArn"]
    world.wait("Filter", arn)
    error = refused(world.personalize.create_batch_inference_job, **start(world, version, arn))
    assert (error.code, other.rsplit("/", 1)[0] in error.message) == ("InvalidInputException", True)
    blocked = refused(world.personalize.delete_dataset_group, datasetGroupArn=other)
    assert blocked.code == "ResourceInUseException"
    world.personalize.delete_filter(filterArn=arn)
    world.wait_gone(lambda: world.personalize.list_filters(datasetGroupArn=other)["Filters"])
    world.remove_group(other)
