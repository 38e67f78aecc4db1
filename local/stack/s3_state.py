"""Save the objects of the in-memory S3 server (moto) to disk while it is down.

Without this, S3 would lose the objects of runs that Personalize and Braze still have.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import boto3
from botocore.config import Config

from stack import connections


def client(url: str) -> Any:
    """Create a boto3 client for the local S3 server, without a proxy."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name=connections.REGION,
        aws_access_key_id=connections.ACCESS_KEY,
        aws_secret_access_key=connections.SECRET_KEY,
        config=Config(proxies={}, retries={"max_attempts": 2}),
    )


def ensure_bucket(url: str, bucket: str) -> None:
    """Create the bucket if missing."""
    client(url).create_bucket(Bucket=bucket)  # us-east-1 answers 200 if the bucket exists


def save(url: str, folder: Path) -> int:
    """Replace `folder` by all objects of all buckets and return their number."""
    s3, count = client(url), 0
    building = folder.with_name(folder.name + ".new")
    shutil.rmtree(building, ignore_errors=True)
    for bucket in s3.list_buckets()["Buckets"]:
        target = building / bucket["Name"]
        target.mkdir(parents=True)
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket["Name"]):
            for item in page.get("Contents", []):
                path = _path_of(target, item["Key"])
                path.parent.mkdir(parents=True, exist_ok=True)
                s3.download_file(bucket["Name"], item["Key"], str(path))
                count += 1
    shutil.rmtree(folder, ignore_errors=True)
    if building.exists():
        building.rename(folder)
    return count


def restore(url: str, folder: Path) -> int:
    """Upload the saved objects and return their number."""
    s3, count = client(url), 0
    for bucket in sorted(folder.iterdir()) if folder.is_dir() else []:
        ensure_bucket(url, bucket.name)
        for path in sorted(entry for entry in bucket.rglob("*") if entry.is_file()):
            key = "/".join(unquote(part.removesuffix("%")) for part in path.relative_to(bucket).parts)
            s3.upload_file(str(path), bucket.name, key)
            count += 1
    return count


def _path_of(target: Path, key: str) -> Path:
    """Convert a key to a path: one folder per step, each name quoted.

    Folder names end with %, which no quoted name does, so that keys `a` and `a/b` can coexist and an empty step
    (`a//b`, `a/`) has a name. Dots are quoted so that `..` stays inside the folder.
    """
    steps = [quote(step, safe="").replace(".", "%2E") for step in key.split("/")]
    return target.joinpath(*(f"{step}%" for step in steps[:-1]), steps[-1] or "%")
