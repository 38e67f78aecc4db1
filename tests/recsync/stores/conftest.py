from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

from recsync.core.keys import Keys
from recsync.stores.bucket import Bucket


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_url: str, request: pytest.FixtureRequest) -> Bucket:
    client = boto3.client("s3", endpoint_url=s3_url, region_name="us-east-1")
    name = f"b-{abs(hash(request.node.name)):x}"
    client.create_bucket(Bucket=name)
    return Bucket(client, name)


@pytest.fixture
def keys() -> Keys:
    return Keys("shop")
