"""The resources that a program sets up, as tasks of a DAG."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DAG, task
from stage_shop import StageShop

from recsync.dag_kit import DEFAULT_ARGS
from recsync.task_groups.setup import Resources, setup

V2 = "aws-user-personalization-v2"


def group(
    shop: StageShop, *, after: bool = False, solutions: bool = True, **fields: Any
) -> tuple[DAG, Resources]:
    program = shop.write(**fields).program

    @task
    def plan() -> None:
        """Stand where the DAG's own task stands."""

    with DAG("shop_setup", schedule=None, default_args=DEFAULT_ARGS) as dag:
        resources = setup(program, plan() if after else None, solutions=solutions)
    return dag, resources


def names(dag: DAG) -> set[str]:
    return {name.removeprefix("setup.") for name in dag.task_ids}


def test_each_dataset_has_its_schema_and_comes_before_the_solutions(stage_shop: StageShop) -> None:
    dag, resources = group(stage_shop, datasets={"items": {}})
    datasets = {"dataset_interactions", "dataset_items"}
    assert names(dag) == {
        *("dataset_group", "schema_interactions", "schema_items", "solution_settings", "solution"),
        *datasets,
    }
    assert set(resources.datasets) == {"INTERACTIONS", "ITEMS"}
    items: Any = dag.get_task("setup.dataset_items")
    assert items.upstream_task_ids == {"setup.dataset_group", "setup.schema_items"}
    schema: Any = dag.get_task("setup.schema_items")
    assert schema.schema == (stage_shop.include / "schemas/shop/items.json").read_text()
    assert schema.schema_name.startswith("shop-items-")
    assert dag.get_task("setup.solution_settings").upstream_task_ids >= {f"setup.{name}" for name in datasets}


def test_a_training_of_an_existing_solution_sets_up_none(stage_shop: StageShop) -> None:
    dag, resources = group(stage_shop, solutions=False)
    assert names(dag) == {"dataset_group", "schema_interactions", "dataset_interactions"}
    assert resources.solutions == {}


def test_every_solution_of_the_program_is_set_up_with_its_recipe(stage_shop: StageShop) -> None:
    rival = {"recipe": "aws-user-personalization", "event_type": "buy"}
    personalize = {"recipe": V2, "baseline_recipe": "aws-popularity-count", "challengers": {"rival": rival}}
    dag, resources = group(stage_shop, personalize=personalize)
    recipes = {"": V2, "baseline_": "aws-popularity-count", "challenger_rival_": "aws-user-personalization"}
    assert set(resources.solutions) == set(recipes)
    for prefix, recipe in recipes.items():
        solution: Any = dag.get_task(f"setup.{prefix}solution")
        assert solution.recipe_arn == f"arn:aws:personalize:::recipe/{recipe}"
        assert solution.event_type == ("buy" if prefix == "challenger_rival_" else None)


def test_event_weights_are_changed_after_the_solution_is_adopted(stage_shop: StageShop) -> None:
    dag, resources = group(stage_shop, personalize={"recipe": V2, "event_weights": {"buy": 0.5}})
    weigh: Any = dag.get_task("setup.event_weights")
    assert weigh.upstream_task_ids == {"setup.solution"}
    asked = {"eventParametersList": [{"eventType": "buy", "weight": 0.5}]}
    assert weigh.solution_update_config == {"eventsConfig": asked}
    assert resources.solutions[""].operator is weigh, "a training waits for the weights"


def test_a_metric_attribution_is_set_up_after_the_datasets_only_where_it_is_asked_for(
    stage_shop: StageShop,
) -> None:
    assert group(stage_shop)[1].metric_attribution is None
    metrics = [{"name": "purchases", "event": "purchase"}]
    dag, resources = group(stage_shop, personalize={"attribution": {"metrics": metrics}})
    assert {"metric_settings", "metric_attribution", "metrics"} <= names(dag)
    assert dag.get_task("setup.metric_settings").upstream_task_ids == {
        "setup.dataset_group",
        "setup.dataset_interactions",
    }
    created: Any = dag.get_task("setup.metric_attribution")
    assert created.metric_attribution_name == "shop"
    assert resources.metric_attribution.operator.task_id == "setup.metrics"


@pytest.mark.parametrize("name", ["dataset_group", "schema_interactions"])
def test_nothing_is_set_up_before_the_plan(stage_shop: StageShop, name: str) -> None:
    dag, _ = group(stage_shop, after=True)
    assert dag.get_task(f"setup.{name}").upstream_task_ids == {"plan"}
