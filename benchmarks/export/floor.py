"""What no export can beat: the warehouse writing CSV to nobody, and S3 taking a file that is ready."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig

from benchmarks.export.servers import BUCKET, REGION
from benchmarks.job import ExportJob

# Two parts of 16 MB at a time were the fastest of what was tried with boto3.
_PART_BYTES = 16 << 20
_THREADS = 2


def copy(job: ExportJob) -> None:
    """Let psql copy the query's rows to /dev/null; psycopg2 where there is no psql."""
    statement = f"COPY ({job.query}) TO STDOUT WITH (FORMAT csv)"
    psql = shutil.which("psql")
    job.figures["how"] = "psql" if psql else "psycopg2, psql is not installed"
    with job.clock():
        if psql:
            with Path("/dev/null").open("wb") as nowhere:
                subprocess.run([psql, job.dsn, "-qc", statement], stdout=nowhere, check=True)
        else:
            _copy_with_psycopg2(job.dsn, statement)


def prepare(job: ExportJob) -> None:
    """Write the same rows to a file, for `upload`."""
    import psycopg

    statement = f"COPY ({job.query}) TO STDOUT WITH (FORMAT csv, HEADER)"
    with (
        psycopg.connect(job.dsn) as connection,
        connection.cursor().copy(statement) as blocks,
        (job.state / "rows.csv").open("wb") as file,
    ):
        for block in blocks:
            file.write(block)


def upload(job: ExportJob) -> None:
    """Upload the file in parts."""
    client: Any = boto3.client(
        "s3",
        endpoint_url=job.s3_url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    how = TransferConfig(
        multipart_threshold=_PART_BYTES, multipart_chunksize=_PART_BYTES, max_concurrency=_THREADS
    )
    job.figures["size_bytes"] = (job.state / "rows.csv").stat().st_size
    with job.clock():
        client.upload_file(str(job.state / "rows.csv"), BUCKET, job.key, Config=how)


def _copy_with_psycopg2(dsn: str, statement: str) -> None:
    import psycopg2

    connection = psycopg2.connect(dsn)
    try:
        with connection.cursor() as cursor, Path("/dev/null").open("wb", buffering=1 << 20) as nowhere:
            cursor.copy_expert(statement, nowhere)
    finally:
        connection.close()
