"""Import datasets. Import jobs cannot be deleted: a job name can be used once, for ever.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateDatasetImportJob.html
"""

from __future__ import annotations

from typing import Any

from personalize_local.context import Context, Params
from personalize_local.errors import already_exists, invalid_input
from personalize_local.operations.common import create, find_active, operations_of
from personalize_local.operations.updates import refuse_updating
from personalize_local.resources import DATASET, DATASET_IMPORT_JOB, DATASET_UPDATE
from personalize_local.s3 import is_s3_uri


def create_dataset_import_job(context: Context, params: Params) -> dict[str, Any]:
    """Start an import; INCREMENTAL needs a former bulk import."""
    arn = context.arn(f"{DATASET_IMPORT_JOB.tail}/{params['jobName']}")
    if context.store.get(arn) is not None:
        raise already_exists(arn)
    dataset = find_active(context, DATASET, params["datasetArn"])
    refuse_updating(context, DATASET_UPDATE, dataset)
    # The model does not require dataLocation, and only s3:// is a location of this service.
    if not is_s3_uri(params["dataSource"].get("dataLocation", "")):
        raise invalid_input("Invalid Data location.")
    mode = params.get("importMode", "FULL")
    if mode == "INCREMENTAL" and not dataset.internal["parts"]:
        raise invalid_input("An INCREMENTAL import requires a former bulk import: import FULL first.")
    context.check_quota(DATASET_IMPORT_JOB)
    body = {
        "jobName": params["jobName"],
        "datasetArn": dataset.arn,
        "dataSource": params["dataSource"],
        "roleArn": params.get("roleArn"),
        "importMode": mode,
        "publishAttributionMetricsToS3": params.get("publishAttributionMetricsToS3", False),
    }
    return create(context, DATASET_IMPORT_JOB, arn, body, parent=dataset, params=params)


OPERATIONS = {"CreateDatasetImportJob": create_dataset_import_job, **operations_of(DATASET_IMPORT_JOB)}
