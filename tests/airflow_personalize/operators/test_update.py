"""Updates in the running local Personalize."""

from __future__ import annotations

import pytest
from local_shop import ITEM_FIELDS, NULLABLE, SCHEMAS, describe, schema
from operator_runs import run

from airflow_personalize.errors import PersonalizeFatalError
from airflow_personalize.operators import (
    PersonalizeCreateSchemaOperator,
    PersonalizeStopSolutionVersionCreationOperator,
    PersonalizeUpdateDatasetOperator,
    PersonalizeUpdateSolutionOperator,
)
from airflow_personalize.resources import (
    DATASET,
    SOLUTION,
    SOLUTION_VERSION,
)


def test_a_schema_is_replaced_once(account, shop):
    wider = schema("Items", *ITEM_FIELDS, ("BRAND", NULLABLE))
    schema_arn = run(PersonalizeCreateSchemaOperator, schema_name="shop-items-2", schema=wider)
    replaced = {"dataset_arn": shop.datasets["items"], "schema_arn": schema_arn}
    run(PersonalizeUpdateDatasetOperator, **replaced)
    update = describe(DATASET, shop.datasets["items"])["latestDatasetUpdate"]
    assert (update["schemaArn"], update["status"]) == (schema_arn, "ACTIVE")
    run(PersonalizeUpdateDatasetOperator, **replaced)
    assert describe(DATASET, shop.datasets["items"])["latestDatasetUpdate"] == update
    narrower = run(PersonalizeCreateSchemaOperator, schema_name="shop-items-3", schema=SCHEMAS["users"])
    with pytest.raises(PersonalizeFatalError, match="Cannot update dataset"):
        run(PersonalizeUpdateDatasetOperator, dataset_arn=shop.datasets["items"], schema_arn=narrower)


def test_a_solution_is_updated(shop):
    changes = {
        "solution_arn": shop.solution,
        "perform_auto_training": True,
        "solution_update_config": {"autoTrainingConfig": {"schedulingExpression": "rate(3 days)"}},
    }
    run(PersonalizeUpdateSolutionOperator, **changes)
    found = describe(SOLUTION, shop.solution)
    assert found["performAutoTraining"] is True
    assert found["solutionConfig"]["autoTrainingConfig"] == {"schedulingExpression": "rate(3 days)"}
    run(PersonalizeUpdateSolutionOperator, **changes)
    assert describe(SOLUTION, shop.solution)["latestSolutionUpdate"] == found["latestSolutionUpdate"]
    run(PersonalizeUpdateSolutionOperator, solution_arn=shop.solution, perform_auto_training=False)


def test_a_training_that_has_ended_is_not_stopped(shop):
    assert (
        run(PersonalizeStopSolutionVersionCreationOperator, solution_version_arn=shop.version) == shop.version
    )
    assert describe(SOLUTION_VERSION, shop.version)["status"] == "ACTIVE"
