"""Speak AWS JSON 1.1 from botocore's own model of the service.

Protocol: https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from personalize_local.errors import ApiError
from personalize_local.validation import validate, without_nulls

CONTENT_TYPE = "application/x-amz-json-1.1"
_CREDENTIAL_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/([a-z0-9-]+)/[^/]+/aws4_request")


@dataclass(frozen=True)
class Reply:
    """Hold one HTTP reply."""

    http_status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """Hold one parsed and validated request."""

    operation: OperationModel
    params: dict[str, Any]


class Protocol:
    """Parse requests and serialise replies of the control plane."""

    def __init__(self) -> None:
        self.model = ServiceModel(Loader().load_service_model("personalize", "service-2"), "personalize")
        self._target_prefix = self.model.metadata["targetPrefix"]

    def parse(self, target: str, body: bytes) -> Call:
        """Return the call that header `X-Amz-Target` and the JSON body describe; raise `ApiError`."""
        prefix, _, name = target.partition(".")
        if prefix != self._target_prefix or name not in self.model.operation_names:
            raise ApiError("UnknownOperationException", f"Unknown operation: {target!r}.")
        operation = self.model.operation_model(name)
        params = _parse_json(body)
        validate(params, operation)
        return Call(operation, params)

    def serialise(self, operation: OperationModel, output: dict[str, Any]) -> Reply:
        """Return the reply to an operation: only members its output shape has, nulls left out."""
        shape = operation.output_shape
        if shape is None:
            return _reply(200, b"")
        return _reply(200, json.dumps(_shaped(output, shape)).encode())


def region_of_request(headers: Message, default: str) -> str:
    """Return the region of the SigV4 credential scope; any signature is accepted, also none."""
    match = _CREDENTIAL_SCOPE.search(headers.get("Authorization") or "")
    return match.group(1) if match else default


def error_reply(error: ApiError) -> Reply:
    """Return an error in the form both JSON protocols of AWS read."""
    body = json.dumps({"__type": error.code, "message": error.message}).encode()
    reply = _reply(error.http_status, body)
    # rest-json clients (runtime, events) take the code from this header.
    reply.headers["x-amzn-ErrorType"] = error.code
    return reply


def _reply(http_status: int, body: bytes) -> Reply:
    return Reply(http_status, body, {"Content-Type": CONTENT_TYPE, "x-amzn-RequestId": str(uuid.uuid4())})


def _parse_json(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise ApiError("SerializationException", f"The request is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise ApiError("SerializationException", "The request is not a JSON object.")
    params: dict[str, Any] = without_nulls(parsed)
    return params


def _shaped(value: Any, shape: Shape) -> Any:
    if isinstance(shape, StructureShape):
        members = shape.members.items()
        return {name: _shaped(value[name], member) for name, member in members if value.get(name) is not None}
    if isinstance(shape, ListShape):
        return [_shaped(item, shape.member) for item in value]
    if isinstance(shape, MapShape):
        return {key: _shaped(item, shape.value) for key, item in value.items()}
    # Timestamps are kept as epoch seconds with a fraction, which is how they travel.
    return value
