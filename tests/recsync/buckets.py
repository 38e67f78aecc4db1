"""Buckets for the tests of stores: one that works, and one behind a door that refuses single writes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

sys.path.insert(0, str(Path(__file__).parents[1] / "fault_matrix"))
from matrix_s3 import Door, served


@pytest.fixture
def bucket(s3_url: str, request: pytest.FixtureRequest) -> Bucket:
    client = boto3.client("s3", endpoint_url=s3_url, region_name="us-east-1")
    name = f"b-{abs(hash(request.node.name)):x}"
    client.create_bucket(Bucket=name)
    return Bucket(client, name)


@pytest.fixture(scope="session")
def _door() -> Iterator[tuple[Door, str]]:
    door = Door()
    with served(door) as url:
        yield door, url


@pytest.fixture
def door(_door: tuple[Door, str]) -> Door:
    """An S3 that can refuse single writes."""
    _door[0].open()
    return _door[0]


@pytest.fixture
def door_bucket(_door: tuple[Door, str], door: Door, request: pytest.FixtureRequest) -> Bucket:
    """A bucket behind the door."""
    # Without retries of botocore's own, each refusal is met by our code.
    config = Config(retries={"total_max_attempts": 1})
    client = boto3.client("s3", endpoint_url=_door[1], region_name="us-east-1", config=config)
    name = f"d-{abs(hash(request.node.name)):x}"
    client.create_bucket(Bucket=name)
    return Bucket(client, name)


@pytest.fixture
def keys() -> Keys:
    return Keys("shop")
