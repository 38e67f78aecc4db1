"""Export datasets. Export jobs cannot be deleted: a job name can be used once, for ever.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateDatasetExportJob.html
"""

from __future__ import annotations

from typing import Any

from personalize_local.context import Context, Params
from personalize_local.errors import already_exists, invalid_input
from personalize_local.operations.common import create, find_active, operations_of
from personalize_local.resources import DATASET, DATASET_EXPORT_JOB
from personalize_local.s3 import is_s3_uri


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


OPERATIONS = {"CreateDatasetExportJob": create_dataset_export_job, **operations_of(DATASET_EXPORT_JOB)}
