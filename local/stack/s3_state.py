"""Keep the objects of the in-memory S3 server on disk while it is down.

moto holds everything in memory; without this, Personalize and Braze would remember runs that S3 has forgotten.
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
    """Open a boto3 client for the local S3 server, past any proxy."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name=connections.REGION,
        aws_access_key_id=connections.ACCESS_KEY,
        aws_secret_access_key=connections.SECRET_KEY,
        config=Config(proxies={}, retries={"max_attempts": 2}),
    )


def ensure_bucket(url: str, bucket: str) -> None:
    """Create the bucket unless it is there."""
    client(url).create_bucket(Bucket=bucket)  # us-east-1 answers 200 for a bucket one owns already


def save(url: str, folder: Path) -> int:
    """Write every object of every bucket below `folder`, replacing what an earlier stop left; return how many."""
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
    """Put back what `save` wrote; return the number of objects."""
    s3, count = client(url), 0
    for bucket in sorted(folder.iterdir()) if folder.is_dir() else []:
        ensure_bucket(url, bucket.name)
        for path in sorted(entry for entry in bucket.rglob("*") if entry.is_file()):
            key = "/".join(unquote(part.removesuffix("%")) for part in path.relative_to(bucket).parts)
            s3.upload_file(str(path), bucket.name, key)
            count += 1
    return count


def _path_of(target: Path, key: str) -> Path:
    """Turn a key into a path: one folder per step, each name quoted.

    Folders end with a lone %, which quoting never leaves, so that key `a` can stand beside key `a/b` and an
    empty step (`a//b`, `a/`) has a name; quoted dots keep `..` from leaving the folder.
    """
    steps = [quote(step, safe="").replace(".", "%2E") for step in key.split("/")]
    return target.joinpath(*(f"{step}%" for step in steps[:-1]), steps[-1] or "%")
