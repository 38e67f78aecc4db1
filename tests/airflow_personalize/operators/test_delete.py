"""Deletion of a dataset group and its parts in the running local Personalize."""

from __future__ import annotations

import pytest
from local_shop import RECIPE, describe, import_rows, interactions_csv, make_group, train
from operator_runs import run

from airflow_personalize.errors import PersonalizeRetriableError
from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.operators import (
    PersonalizeCreateCampaignOperator,
    PersonalizeCreateEventTrackerOperator,
    PersonalizeCreateFilterOperator,
    PersonalizeCreateSolutionOperator,
    PersonalizeDeleteDatasetGroupOperator,
    PersonalizeDeleteDatasetOperator,
    PersonalizeDeleteEventTrackerOperator,
    PersonalizeDeleteSchemaOperator,
    PersonalizeDeleteSolutionOperator,
)
from airflow_personalize.resources import (
    DATASET,
    DATASET_GROUP,
    SCHEMA,
    SOLUTION_VERSION,
)


def test_each_part_of_a_group_can_be_deleted_in_order(account):
    group, datasets = make_group("parts")
    solution = run(
        PersonalizeCreateSolutionOperator,
        solution_name="parts",
        dataset_group_arn=group,
        recipe_arn=RECIPE + "popularity-count",
    )
    tracker_arn = run(
        PersonalizeCreateEventTrackerOperator, event_tracker_name="parts", dataset_group_arn=group
    )
    with pytest.raises(PersonalizeRetriableError, match="Cannot delete dataset group"):
        run(PersonalizeDeleteDatasetGroupOperator, dataset_group_arn=group)
    schemas = [describe(DATASET, arn)["schemaArn"] for arn in datasets.values()]
    with pytest.raises(PersonalizeRetriableError, match="Cannot delete schema"):
        run(PersonalizeDeleteSchemaOperator, schema_arn=schemas[0])
    run(PersonalizeDeleteSolutionOperator, solution_arn=solution)
    run(PersonalizeDeleteEventTrackerOperator, event_tracker_arn=tracker_arn)
    for arn in datasets.values():
        run(PersonalizeDeleteDatasetOperator, dataset_arn=arn)
    run(PersonalizeDeleteDatasetGroupOperator, dataset_group_arn=group)
    for arn in schemas:
        run(PersonalizeDeleteSchemaOperator, schema_arn=arn)
    hook = PersonalizeHook()
    assert hook.describe_if_any(DATASET_GROUP, group) is None
    assert [hook.describe_if_any(SCHEMA, arn) for arn in schemas] == [None] * 3


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_cascade_takes_the_group_and_nothing_beside_it(account, shop, deferrable, monkeypatch, capsys):
    if deferrable:
        # Every step defers.
        monkeypatch.setattr("airflow_personalize.hooks.personalize_client.QUICK_LOOKS", 0)
    group, datasets = make_group(f"doomed-{deferrable}")
    import_rows(
        account, f"doomed-{deferrable}", datasets["interactions"], "in/doomed.csv", interactions_csv()
    )
    _, version = train(group, f"doomed-{deferrable}")
    run(PersonalizeCreateCampaignOperator, campaign_name=f"doomed-{deferrable}", solution_version_arn=version)
    run(
        PersonalizeCreateFilterOperator,
        filter_name=f"doomed-{deferrable}",
        dataset_group_arn=group,
        filter_expression='EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("buy")',
    )
    schemas = [describe(DATASET, arn)["schemaArn"] for arn in datasets.values()]
    capsys.readouterr()
    run(PersonalizeDeleteDatasetGroupOperator, dataset_group_arn=group, cascade=True, deferrable=deferrable)
    told = capsys.readouterr().out.partition("Will delete, in this order:\n")[2]
    order = [line.strip().split(" arn:")[0] for line in told.splitlines()[:7]]
    assert order == ["campaign", "solution", "filter", *["dataset"] * 3, "dataset group"]
    hook = PersonalizeHook()
    assert hook.describe_if_any(DATASET_GROUP, group) is None
    assert hook.describe(SOLUTION_VERSION, shop.version)["status"] == "ACTIVE"
    assert all(hook.describe(SCHEMA, arn) for arn in schemas)
    assert run(PersonalizeDeleteDatasetGroupOperator, dataset_group_arn=group, cascade=True) == group
