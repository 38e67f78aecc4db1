"""The data deletion job of an erasure: its input, and what became of it."""

from __future__ import annotations

import csv
import io
from typing import Any

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resources import DATASET_GROUP
from recsync import settings
from recsync.forget.request import opened
from recsync.program import names

_STEP = "personalize"


def deletion_job(program_name: str, name: str, run_id: str) -> dict[str, Any] | None:
    """Write the job's input and give its arguments; None while the program has no dataset group."""
    erasure = opened(program_name, name)
    context = erasure.context
    hook = PersonalizeHook(aws_conn_id=context.program.aws)
    group = names.dataset_group_name(context.program)
    arns = [found["datasetGroupArn"] for found in hook.listed(DATASET_GROUP) if found["name"] == group]
    if not arns:
        return None
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["USER_ID"], [erasure.identity.user_id]])
    context.bucket.put(erasure.input_key, text.getvalue().encode())
    return {
        "job": names.job_name(program_name, "forget", f"{run_id}{name}"),
        "dataset_group_arn": arns[0],
        "location": context.bucket.uri(erasure.input_key),
        "role_arn": settings.role_arn_of(context.program),
    }


def note_job(program_name: str, name: str, job_arn: str | None) -> None:
    """Keep what the job did for the certificate."""
    if not job_arn:
        return
    erasure = opened(program_name, name)
    client: Any = PersonalizeHook(aws_conn_id=erasure.context.program.aws).get_conn()
    job = client.describe_data_deletion_job(dataDeletionJobArn=job_arn)["dataDeletionJob"]
    erasure.note(_STEP, {"job": job["jobName"], "deleted": job.get("numDeleted")})
