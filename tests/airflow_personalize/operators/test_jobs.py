"""Exports and deletions of users in the running local Personalize."""

from __future__ import annotations

from local_shop import EVENTS_EACH, ROLE, USERS, describe, exported
from operator_runs import run

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.operators import (
    PersonalizeCreateDataDeletionJobOperator,
)
from airflow_personalize.resources import (
    DATA_DELETION_JOB,
    DATASET_EXPORT_JOB,
)


def test_a_deletion_job_takes_users_out(account, shop):
    arn = run(
        PersonalizeCreateDataDeletionJobOperator,
        job_name="forget",
        dataset_group_arn=shop.group,
        data_location=account.put("forget/users.csv", "USER_ID\nu58\nu59\n"),
        role_arn=ROLE,
    )
    assert describe(DATA_DELETION_JOB, arn)["status"] == "COMPLETED"
    rows = exported(account, shop, "interactions", "BULK", "after-deletion")
    assert len(rows) == 1 + (USERS - 2) * EVENTS_EACH
    assert not any("u58" in row for row in rows)


def test_a_second_export_under_the_same_name_is_adopted(account, shop):
    first = exported(account, shop, "users", "BULK", "twice")
    assert exported(account, shop, "users", "BULK", "twice") == first
    hook = PersonalizeHook()
    listed = hook.listed(DATASET_EXPORT_JOB, datasetArn=shop.datasets["users"])
    assert [each["jobName"] for each in listed].count("twice") == 1
