from __future__ import annotations

import json

import pytest

from recsync.errors import FatalError
from recsync.storage.aws import aws_client

VARIABLE = "AIRFLOW_CONN_AWS_DEFAULT"


def test_a_client_has_what_the_connection_says(monkeypatch: pytest.MonkeyPatch) -> None:
    services = {"s3": {"endpoint_url": "http://127.0.0.1:5000"}}
    extra = {"region_name": "eu-west-1", "service_config": services}
    for written in (extra, json.dumps(extra)):
        connection = {"conn_type": "aws", "login": "key", "password": "secret", "extra": written}
        monkeypatch.setenv(VARIABLE, json.dumps(connection))
        client = aws_client("s3")
        assert client.meta.endpoint_url == "http://127.0.0.1:5000"
        assert client.meta.region_name == "eu-west-1"
        assert client._request_signer._credentials.access_key == "key"
        assert "eu-west-1.amazonaws.com" in aws_client("personalize-runtime").meta.endpoint_url


def test_without_the_variable_boto3_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert aws_client("s3").meta.region_name == "us-west-2"


def test_what_cannot_be_read_or_done_is_said_without_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, words in (
        ("aws://key:s3cret@/?region_name=eu-west-1", "is not a connection in JSON"),
        ('["s3cret"]', "is not a connection in JSON"),
        (json.dumps({"extra": {"role_arn": "arn:aws:iam::1:role/s3cret"}}), "names a role_arn"),
    ):
        monkeypatch.setenv(VARIABLE, text)
        with pytest.raises(FatalError, match=words) as caught:
            aws_client("s3")
        assert "s3cret" not in str(caught.value)
