"""Delete users from a dataset group. Deletion jobs stay for ever: a job name can be used once.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateDataDeletionJob.html
"""

from __future__ import annotations

from typing import Any

from personalize_local.context import Context, Params
from personalize_local.errors import already_exists, invalid_input
from personalize_local.operations.common import create, find_active, operations_of
from personalize_local.resources import DATA_DELETION_JOB, DATASET_GROUP
from personalize_local.s3 import is_s3_uri


def create_data_deletion_job(context: Context, params: Params) -> dict[str, Any]:
    """Start to delete the users named in the CSV objects of a location."""
    arn = context.arn(f"{DATA_DELETION_JOB.tail}/{params['jobName']}")
    if context.store.get(arn) is not None:
        raise already_exists(arn)
    group = find_active(context, DATASET_GROUP, params["datasetGroupArn"])
    if not is_s3_uri(params["dataSource"].get("dataLocation", "")):
        raise invalid_input("Invalid Data location.")
    context.check_quota(DATA_DELETION_JOB, group)
    body = {key: params[key] for key in ("jobName", "datasetGroupArn", "dataSource", "roleArn")}
    return create(context, DATA_DELETION_JOB, arn, body, parent=group, params=params)


OPERATIONS = {"CreateDataDeletionJob": create_data_deletion_job, **operations_of(DATA_DELETION_JOB)}
