"""The operators in a DAG run of Airflow, against the local Personalize: create, adopt, drift, fail, next suffix."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resources import SOLUTION_VERSION
from personalize_local.server import Server
from personalize_local.service import Settings

SCHEMA = {
    "type": "record",
    "name": "Interactions",
    "namespace": "com.amazonaws.personalize.schema",
    "version": "1.0",
    "fields": [
        {"name": "USER_ID", "type": "string"},
        {"name": "ITEM_ID", "type": "string"},
        {"name": "EVENT_TYPE", "type": "string"},
        {"name": "TIMESTAMP", "type": "long"},
    ],
}
NO_PURCHASE = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("Purchase")'
_HOURS = itertools.count()


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    """An empty account of the local Personalize behind ``aws_default``; nothing here needs S3."""
    with Server(Settings(tmp_path_factory.mktemp("personalize"), "123456789012", 0.0, 1)) as server:
        extra = {"region_name": "eu-west-1", "service_config": {"personalize": {"endpoint_url": server.url}}}
        connection = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
            yield server


def build(expression: str) -> Any:
    """A DAG whose tasks hand their ARNs on as XComArgs and by template."""
    from airflow.sdk import DAG

    from airflow_personalize.operators import (
        PersonalizeCreateDatasetGroupOperator,
        PersonalizeCreateDatasetOperator,
        PersonalizeCreateFilterOperator,
        PersonalizeCreateSchemaOperator,
        PersonalizeCreateSolutionOperator,
        PersonalizeCreateSolutionVersionOperator,
    )

    with DAG("personalize_operators", schedule=None, default_args={"waiter_delay": 1, "retries": 0}) as dag:
        group = PersonalizeCreateDatasetGroupOperator(task_id="group", dataset_group_name="{{ dag.dag_id }}")
        schema = PersonalizeCreateSchemaOperator(task_id="schema", schema_name="interactions", schema=SCHEMA)
        dataset = PersonalizeCreateDatasetOperator(
            task_id="dataset",
            dataset_name="interactions",
            dataset_type="Interactions",
            schema_arn=schema.output,
            dataset_group_arn=group.output,
        )
        solution = PersonalizeCreateSolutionOperator(
            task_id="solution",
            solution_name="popular",
            dataset_group_arn=group.output,
            recipe_arn="arn:aws:personalize:::recipe/aws-popularity-count",
        )
        filter_ = PersonalizeCreateFilterOperator(
            task_id="filter",
            filter_name="not-bought",
            dataset_group_arn=group.output,
            filter_expression=expression,
        )
        version = PersonalizeCreateSolutionVersionOperator(
            task_id="version", solution_version_name="weekly", solution_arn=solution.output
        )
        dataset >> [filter_, version]
    return dag


def saved(dag: Any) -> Any:
    """Write a DAG to the metadata database, as the DAG processor does."""
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session

    with create_session() as session:
        session.merge(DagBundleModel(name="testing"))
    lazy = LazyDeserializedDAG.from_dag(dag)
    SerializedDAG.bulk_write_to_db("testing", None, [lazy])
    SerializedDagModel.write_dag(lazy, bundle_name="testing")
    return dag


def run(expression: str = NO_PURCHASE) -> Any:
    """Run the DAG once, as ``airflow dags test`` does."""
    return saved(build(expression)).test(
        logical_date=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=next(_HOURS))
    )


def states(dag_run: Any) -> dict[str, str]:
    return {each.task_id: str(each.state) for each in dag_run.get_task_instances()}


def pulled(dag_run: Any, task_id: str, key: str = "return_value") -> Any:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    query = XComModel.get_many(run_id=dag_run.run_id, key=key, task_ids=task_id, dag_ids=dag_run.dag_id)
    with create_session() as session:
        return XComModel.deserialize_value(session.execute(query).scalar_one())


def versions(solution_arn: str) -> dict[str, str]:
    hook = PersonalizeHook()
    listed = hook.conn.list_solution_versions(solutionArn=solution_arn)["solutionVersions"]
    described = [hook.describe(SOLUTION_VERSION, each["solutionVersionArn"]) for each in listed]
    return {each["name"]: each["status"] for each in described}


def test_a_run_and_its_repetition(account, airflow_db):
    first = run()
    made = dict.fromkeys(["group", "schema", "dataset", "solution", "filter"], "success")
    # There is no data to train on, so the training itself fails.
    assert states(first) == made | {"version": "failed"}
    arns = {task: pulled(first, task) for task in made}
    assert arns["group"] == "arn:aws:personalize:eu-west-1:123456789012:dataset-group/personalize_operators"
    link = pulled(first, "version", "personalize_solution_version")
    assert link["dataset_group_arn"] == arns["group"]
    assert link["arn"].startswith(arns["solution"])

    second = run(NO_PURCHASE.replace("Purchase", "View"))
    assert states(second) == states(first) | {"filter": "failed"}  # it exists and says something else
    adopted = made.keys() - {"filter"}
    assert {task: pulled(second, task) for task in adopted} == {task: arns[task] for task in adopted}
    assert versions(arns["solution"]) == {"weekly": "CREATE FAILED", "weekly-2": "CREATE FAILED"}


def test_a_sixth_dataset_group_fails_at_the_first_try(account, airflow_db):
    from airflow.sdk import DAG

    from airflow_personalize.operators import PersonalizeCreateDatasetGroupOperator

    client = PersonalizeHook().conn
    names = {group["name"] for group in client.list_dataset_groups()["datasetGroups"]}
    for number in range(5 - len(names)):
        client.create_dataset_group(name=f"group-{number}")
    # The default policy of the operator decides, not the DAG's arguments.
    with DAG("sixth_group", schedule=None, default_args={"retries": 3}) as dag:
        PersonalizeCreateDatasetGroupOperator(task_id="group", dataset_group_name="one-too-many")
    (ti,) = saved(dag).test().get_task_instances()
    assert (str(ti.state), ti.try_number) == ("failed", 1)
