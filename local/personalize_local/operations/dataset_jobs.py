"""Start imports, exports and user deletions. The jobs cannot be deleted, so a job name can be used only once.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateDatasetImportJob.html
"""

from __future__ import annotations

from typing import Any

from personalize_local.context import Context, Params
from personalize_local.errors import already_exists, invalid_input
from personalize_local.operations.common import create, find_active, operations_of, refuse_updating
from personalize_local.resources import (
    DATA_DELETION_JOB,
    DATASET,
    DATASET_EXPORT_JOB,
    DATASET_GROUP,
    DATASET_IMPORT_JOB,
    DATASET_UPDATE,
)
from personalize_local.s3 import is_s3_uri


def create_dataset_import_job(context: Context, params: Params) -> dict[str, Any]:
    """Start an import; INCREMENTAL needs an earlier bulk import."""
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


def create_dataset_export_job(context: Context, params: Params) -> dict[str, Any]:
    """Start an export of bulk rows (BULK), streamed rows (PUT, the default) or both (ALL)."""
    arn = context.arn(f"{DATASET_EXPORT_JOB.tail}/{params['jobName']}")
    if context.store.get(arn) is not None:
        raise already_exists(arn)
    dataset = find_active(context, DATASET, params["datasetArn"])
    if not is_s3_uri(params["jobOutput"]["s3DataDestination"]["path"]):
        raise invalid_input("Invalid S3 output path")
    body = {
        **{key: params[key] for key in ("jobName", "roleArn", "jobOutput")},
        "datasetArn": dataset.arn,
        "ingestionMode": params.get("ingestionMode", "PUT"),
    }
    return create(context, DATASET_EXPORT_JOB, arn, body, parent=dataset, params=params)


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


OPERATIONS = {
    "CreateDatasetImportJob": create_dataset_import_job,
    "CreateDatasetExportJob": create_dataset_export_job,
    "CreateDataDeletionJob": create_data_deletion_job,
    **operations_of(DATASET_IMPORT_JOB),
    **operations_of(DATASET_EXPORT_JOB),
    **operations_of(DATA_DELETION_JOB),
}
