"""Access Amazon S3 by boto3's environment, with the error messages of Personalize."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from personalize_local.errors import JobFailed

# boto3 makes its clients at run time; without generated stubs they have no static type.
S3Client = Any

# Bucket naming rules: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_S3_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.*)", re.DOTALL)
_MISSING_CODES = frozenset({"404", "NoSuchKey", "NoSuchBucket"})
_NO_PRIVILEGES = "Insufficient privileges for accessing data in Amazon S3."


@dataclass(frozen=True)
class Location:
    """Location of an object or a prefix; the key may be empty."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> Location:
        """Parse `s3://bucket/key`; raise ValueError."""
        match = _S3_URI.fullmatch(uri)
        if match is None:
            raise ValueError(f"not an s3:// location: {uri}")
        return cls(match.group(1), match.group(2))


def is_s3_uri(uri: str) -> bool:
    """Return whether this is `s3://bucket/…`."""
    return _S3_URI.fullmatch(uri) is not None


def connect(region: str) -> S3Client:
    """Return a client with path-style addresses, because a local S3 rarely has a DNS name per bucket."""
    return boto3.client("s3", region_name=region, config=Config(s3={"addressing_style": "path"}))


@contextmanager
def failing_with(missing_reason: str) -> Generator[None]:
    """Turn S3 errors into `JobFailed`: with `missing_reason` for missing objects and buckets."""
    try:
        yield
    except ClientError as error:
        missing = error.response["Error"]["Code"] in _MISSING_CODES
        raise JobFailed(missing_reason if missing else _NO_PRIVILEGES) from error
    except BotoCoreError as error:
        raise JobFailed(f"{_NO_PRIVILEGES} ({error})") from error


def keys_under(client: S3Client, location: Location, *, first_level_only: bool) -> list[str]:
    """Return the keys that begin with the location's key, in order, without folder markers."""
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket=location.bucket, Prefix=location.key, Delimiter="/" if first_level_only else ""
    )
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return [key for key in keys if not key.endswith("/")]


def sizes_of(client: S3Client, bucket: str, keys: list[str]) -> list[int]:
    """Return the sizes of objects in bytes."""
    return [client.head_object(Bucket=bucket, Key=key)["ContentLength"] for key in keys]


def read_object(client: S3Client, bucket: str, key: str) -> bytes:
    """Return a whole object."""
    content: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    return content
