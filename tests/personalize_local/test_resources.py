"""Errors, ARNs, quotas, paging and tags of the resources that need no data."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

ACCOUNT = "000000000000"
SCHEMA = {
    "type": "record",
    "name": "Interactions",
    "namespace": "com.amazonaws.personalize.schema",
    "version": "1.0",
    "fields": [
        {"name": "USER_ID", "type": "string"},
        {"name": "ITEM_ID", "type": "string"},
        {"name": "TIMESTAMP", "type": "long"},
    ],
}
UP = "arn:aws:personalize:::recipe/aws-user-personalization"


@pytest.fixture
def region(fast_server: Any, make_world: Callable[..., Any], request: pytest.FixtureRequest) -> Any:
    """Return a driver in a region of the test's own: quotas count per region."""
    return make_world(fast_server.url, region=f"r-{abs(hash(request.node.nodeid)) % 10**9}")


def test_arns_are_spelt_as_the_service_spells_them(region: Any) -> None:
    prefix = f"arn:aws:personalize:{region.region}:{ACCOUNT}"
    group = region.personalize.create_dataset_group(name="shop", domain="ECOMMERCE")
    assert group["datasetGroupArn"] == f"{prefix}:dataset-group/shop"
    assert group["domain"] == "ECOMMERCE"
    group_arn = region.group()
    schema = region.personalize.create_schema(name="events", schema=json.dumps(SCHEMA))["schemaArn"]
    assert schema == f"{prefix}:schema/events"
    dataset = region.personalize.create_dataset(
        name="anything", schemaArn=schema, datasetGroupArn=group_arn, datasetType="Interactions"
    )["datasetArn"]
    assert dataset == f"{prefix}:dataset/{group_arn.rsplit('/', 1)[1]}/INTERACTIONS"
    region.wait("Dataset", dataset)
    assert region.describe("Dataset", dataset)["datasetType"] == "INTERACTIONS"
    assert region.solution(group_arn).startswith(f"{prefix}:solution/")


def test_a_name_can_be_taken_once(region: Any, refused: Callable[..., Any]) -> None:
    personalize = region.personalize
    arn = personalize.create_dataset_group(name="twice")["datasetGroupArn"]
    error = refused(personalize.create_dataset_group, name="twice")
    assert error.code == "ResourceAlreadyExistsException"
    assert error.message == f"Another resource with Arn {arn} already exists."
    schema = json.dumps(SCHEMA)
    personalize.create_schema(name="twice", schema=schema)
    error = refused(personalize.create_schema, name="twice", schema=schema)
    assert error.code == "ResourceAlreadyExistsException"
    region.wait("DatasetGroup", arn)
    region.dataset(arn)
    error = refused(
        personalize.create_dataset,
        name="another-name",
        schemaArn=region.schema(SCHEMA),
        datasetGroupArn=arn,
        datasetType="INTERACTIONS",
    )
    assert error.code == "ResourceAlreadyExistsException"


def test_unknown_arns_are_not_found(region: Any, refused: Callable[..., Any]) -> None:
    personalize = region.personalize
    prefix = f"arn:aws:personalize:{region.region}:{ACCOUNT}"
    calls = [
        (personalize.describe_dataset_group, {"datasetGroupArn": f"{prefix}:dataset-group/no"}),
        (personalize.describe_schema, {"schemaArn": f"{prefix}:schema/no"}),
        (personalize.describe_dataset, {"datasetArn": f"{prefix}:dataset/no/ITEMS"}),
        (personalize.describe_dataset_import_job, {"datasetImportJobArn": f"{prefix}:dataset-import-job/no"}),
        (personalize.describe_solution, {"solutionArn": f"{prefix}:solution/no"}),
        (personalize.describe_solution_version, {"solutionVersionArn": f"{prefix}:solution/no/1"}),
        (personalize.describe_filter, {"filterArn": f"{prefix}:filter/no"}),
        (
            personalize.describe_batch_inference_job,
            {"batchInferenceJobArn": f"{prefix}:batch-inference-job/no"},
        ),
        (personalize.describe_recipe, {"recipeArn": "arn:aws:personalize:::recipe/no"}),
        (personalize.delete_filter, {"filterArn": f"{prefix}:filter/no"}),
        (personalize.delete_solution, {"solutionArn": f"{prefix}:solution/no"}),
        (personalize.create_solution_version, {"solutionArn": f"{prefix}:solution/no"}),
        (personalize.list_solution_versions, {"solutionArn": f"{prefix}:solution/no"}),
        (personalize.list_tags_for_resource, {"resourceArn": f"{prefix}:solution/no"}),
        (personalize.describe_solution, {"solutionArn": region.group()}),
    ]
    for operation, params in calls:
        error = refused(operation, **params)
        assert (error.code, error.http_status) == ("ResourceNotFoundException", 400), params


def test_resources_of_another_region_are_not_seen(
    region: Any, make_world: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    arn = region.group()
    other = make_world(region.url, region=f"{region.region}-b").personalize
    assert other.list_dataset_groups()["datasetGroups"] == []
    assert refused(other.describe_dataset_group, datasetGroupArn=arn).code == "ResourceNotFoundException"


def test_a_parent_must_be_active(
    start_server: Callable[..., Any], make_world: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    world = make_world(start_server(time_scale=5).url)
    group = world.personalize.create_dataset_group(name="slow")["datasetGroupArn"]
    error = refused(world.personalize.create_solution, name="s", datasetGroupArn=group, recipeArn=UP)
    assert error.code == "InvalidInputException"
    assert "CREATE PENDING" in error.message
    busy = refused(world.personalize.delete_dataset_group, datasetGroupArn=group)
    assert busy.code == "ResourceInUseException"


def test_delete_order_is_enforced(region: Any, refused: Callable[..., Any]) -> None:
    group = region.group()
    dataset = region.dataset(group)
    schema = region.describe("Dataset", dataset)["schemaArn"]
    region.solution(group)
    error = refused(region.personalize.delete_dataset_group, datasetGroupArn=group)
    assert error.code == "ResourceInUseException"
    assert refused(region.personalize.delete_schema, schemaArn=schema).code == "ResourceInUseException"
    region.remove_group(group)
    region.personalize.delete_schema(schemaArn=schema)
    assert region.personalize.list_schemas()["schemas"] == []


def test_quotas(region: Any, refused: Callable[..., Any]) -> None:
    groups = [region.group() for _ in range(5)]
    error = refused(region.personalize.create_dataset_group, name="sixth")
    assert error.code == "LimitExceededException"
    for number in range(10):
        region.personalize.create_solution(name=f"s{number}", datasetGroupArn=groups[0], recipeArn=UP)
    error = refused(region.personalize.create_solution, name="s10", datasetGroupArn=groups[0], recipeArn=UP)
    assert error.code == "LimitExceededException"
    region.personalize.create_solution(name="s10", datasetGroupArn=groups[1], recipeArn=UP)


def test_pages_follow_each_other_and_tokens_belong_to_one_list(
    region: Any, refused: Callable[..., Any]
) -> None:
    arns = [region.schema(SCHEMA) for _ in range(5)]
    paginator = region.personalize.get_paginator("list_schemas")
    pages = list(paginator.paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["schemas"]) for page in pages] == [2, 2, 1]
    assert [entry["schemaArn"] for page in pages for entry in page["schemas"]] == arns
    assert "schema" not in pages[0]["schemas"][0]
    token = pages[0]["nextToken"]
    foreign = refused(region.personalize.list_dataset_groups, nextToken=token)
    assert (foreign.code, foreign.http_status) == ("InvalidNextTokenException", 400)
    assert refused(region.personalize.list_schemas, nextToken="nonsense").code == "InvalidNextTokenException"


def test_lists_narrow_down_to_a_parent(region: Any) -> None:
    first, second = region.group(), region.group()
    region.solution(first)
    solution = region.solution(second)
    listed = region.personalize.list_solutions(datasetGroupArn=second)["solutions"]
    assert [entry["solutionArn"] for entry in listed] == [solution]
    assert len(region.personalize.list_solutions()["solutions"]) == 2
    assert region.personalize.list_filters(datasetGroupArn=first)["Filters"] == []


def test_recipes_are_listed_and_described(region: Any) -> None:
    paginator = region.personalize.get_paginator("list_recipes")
    pages = paginator.paginate(recipeProvider="SERVICE", PaginationConfig={"PageSize": 7})
    recipes = [entry for page in pages for entry in page["recipes"]]
    names = [entry["name"] for entry in recipes]
    assert len(names) == len(set(names)) == 25
    assert {"aws-user-personalization", "aws-user-personalization-v2", "aws-sims"} <= set(names)
    domain = region.personalize.list_recipes(domain="ECOMMERCE")["recipes"]
    assert {entry["domain"] for entry in domain} == {"ECOMMERCE"}
    recipe = region.personalize.describe_recipe(recipeArn=UP)["recipe"]
    assert recipe["algorithmArn"] == "arn:aws:personalize:::algorithm/aws-user-personalization"
    assert (recipe["recipeType"], recipe["status"]) == ("USER_PERSONALIZATION", "ACTIVE")


def test_tags(region: Any, refused: Callable[..., Any]) -> None:
    personalize = region.personalize
    arn = personalize.create_dataset_group(name="t", tags=[{"tagKey": "team", "tagValue": "crm"}])[
        "datasetGroupArn"
    ]
    personalize.tag_resource(resourceArn=arn, tags=[{"tagKey": "env", "tagValue": ""}])
    personalize.untag_resource(resourceArn=arn, tagKeys=["team", "absent"])
    assert personalize.list_tags_for_resource(resourceArn=arn)["tags"] == [{"tagKey": "env", "tagValue": ""}]
    many = [{"tagKey": f"k{n}", "tagValue": "v"} for n in range(50)]
    assert refused(personalize.tag_resource, resourceArn=arn, tags=many).code == "TooManyTagsException"


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ({"recipeArn": None}, "InvalidInputException", "recipeArn"),
        ({"recipeArn": "arn:aws:personalize:::recipe/aws-hrnn"}, "InvalidInputException", "legacy"),
        ({"recipeArn": "arn:aws:personalize:::recipe/none"}, "ResourceNotFoundException", "none"),
        ({"recipeArn": "arn:aws:personalize:::recipe/aws-vod-top-picks"}, "InvalidInputException", "domain"),
        ({"performAutoML": True}, "NotImplementedException", "performAutoML"),
        ({"performIncrementalUpdate": True}, "InvalidInputException", "performIncrementalUpdate"),
        ({"solutionConfig": {"eventValueThreshold": "3"}}, "InvalidInputException", "eventType"),
        (
            {"eventType": "buy", "solutionConfig": {"eventValueThreshold": "much"}},
            "InvalidInputException",
            "eventValueThreshold",
        ),
        (
            {"solutionConfig": {"algorithmHyperParameters": {"hidden_dimension": "300"}}},
            "InvalidInputException",
            "hidden_dimension",
        ),
        ({"solutionConfig": {"algorithmHyperParameters": {"magic": "1"}}}, "InvalidInputException", "magic"),
        (
            {"solutionConfig": {"autoTrainingConfig": {"schedulingExpression": "rate(31 days)"}}},
            "InvalidInputException",
            "30 days",
        ),
    ],
)
def test_a_solution_is_checked_against_its_recipe(
    world: Any, shared_group: str, refused: Callable[..., Any], options: dict[str, Any], code: str, text: str
) -> None:
    params = {"name": "s", "datasetGroupArn": shared_group, "recipeArn": UP, **options}
    given = {key: value for key, value in params.items() if value is not None}
    error = refused(world.personalize.create_solution, **given)
    assert error.code == code
    assert text in error.message


@pytest.fixture(scope="module")
def shared_group(world: Any) -> str:
    """Return a dataset group that no test of this module adds to."""
    return str(world.group())


def test_a_version_needs_an_interactions_dataset(
    world: Any, shared_group: str, refused: Callable[..., Any]
) -> None:
    solution = world.solution(shared_group)
    error = refused(world.personalize.create_solution_version, solutionArn=solution)
    assert error.code == "InvalidInputException"
