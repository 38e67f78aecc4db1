"""Airflow's SqlToS3Operator, as its documentation shows it: CSV by way of a pandas DataFrame.

https://airflow.apache.org/docs/apache-airflow-providers-amazon/stable/transfer/sql_to_s3.html
``df_kwargs={"index": False}`` leaves out a column that Amazon Personalize would refuse.
"""

from __future__ import annotations

from benchmarks.export.airflow_task import run_tasks
from benchmarks.export.servers import BUCKET
from benchmarks.job import ExportJob


def export(job: ExportJob) -> None:
    """Run it; its imports are done before its clock starts."""
    import pandas as pd  # ruff: ignore[unused-import] - imported here so that it is not timed
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook  # ruff: ignore[unused-import] - the same
    from airflow.providers.amazon.aws.transfers.sql_to_s3 import SqlToS3Operator
    from airflow.providers.postgres.hooks.postgres import PostgresHook  # ruff: ignore[unused-import] - the same

    run_tasks(
        job,
        lambda: [
            SqlToS3Operator(
                task_id="export",
                query=job.query,
                s3_bucket=BUCKET,
                s3_key=job.key,
                sql_conn_id="warehouse",
                file_format="csv",
                df_kwargs={"index": False},
                replace=True,
            )
        ],
    )
