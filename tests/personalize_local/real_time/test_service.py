"""REST-JSON as raw HTTP, and which operations are built."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from botocore.loaders import Loader

from personalize_local.real_time.service import OPERATIONS


def post(url: str, body: bytes) -> tuple[int, Any, bytes]:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.headers, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


@pytest.mark.parametrize("service", ["personalize-runtime", "personalize-events"])
def test_every_operation_of_the_model_is_built(service: str) -> None:
    model = Loader().load_service_model(service, "service-2")
    assert set(OPERATIONS[service]) == set(model["operations"])


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/recommendations", b"{no json", 400, "SerializationException"),
        ("/events", b"[]", 400, "SerializationException"),
        ("/events", b'{"trackingId": "t", "sessionId": "s"}', 400, "InvalidInputException"),
        ("/events", b'{"trackingId": "t", "sessionId": "s", "eventList": []}', 400, "InvalidInputException"),
        (
            "/events",
            b'{"trackingId": "t", "sessionId": "s", "eventList": [{"eventType": "e", "sentAt": 1e300}]}',
            *(400, "InvalidInputException"),
        ),
        ("/personalize-ranking", b'{"campaignArn": 5}', 400, "InvalidInputException"),
        (
            "/recommendations",
            b'{"campaignArn": "arn:aws:personalize:x:1:campaign/c", "userId": "\\ud800"}',
            *(400, "SerializationException"),
        ),
        ("/recommendations", b'{"context": ' + b"[" * 600 + b"]" * 600 + b"}", 400, "SerializationException"),
        ("/recommendations", b'{"campaignArn": "no-arn"}', 400, "InvalidInputException"),
        ("/recommendations", b"{}", 400, "InvalidInputException"),
        ("/recommendations", b'{"campaignArn": "arn:aws:personalize:x:1:campaign/c"}', 404, None),
        (
            "/items",
            b'{"datasetArn": "arn:aws:personalize:x:1:dataset/d", "items": [{"itemId": "i"}]}',
            404,
            None,
        ),
        ("/nothing-here", b"{}", 400, "UnknownOperationException"),
    ],
)
def test_errors_have_code_and_status(
    fast_server: Any, path: str, body: bytes, status: int, code: str | None
) -> None:
    got, headers, reply = post(f"{fast_server.url}{path}", body)
    assert got == status
    assert headers["x-amzn-ErrorType"] == (code or "ResourceNotFoundException")
    assert headers["x-amzn-RequestId"]
    assert json.loads(reply)["message"]
