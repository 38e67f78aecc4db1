"""Implement AWS JSON 1.1 and REST-JSON from botocore's service models.

Protocols: https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html (the control plane) and
https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html (personalize-runtime, personalize-events)
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
_REST_CONTENT_TYPE = "application/json"
_REST_SERVICES = ("personalize-runtime", "personalize-events")
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
        self.model = _service_model("personalize")
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


class RestProtocol:
    """Parse requests and serialise replies of the two real-time services, which are routed by path."""

    def __init__(self) -> None:
        self.models = {name: _service_model(name) for name in _REST_SERVICES}
        self._operations = {
            operation.http["requestUri"]: operation
            for model in self.models.values()
            for operation in map(model.operation_model, model.operation_names)
        }

    def operation_at(self, path: str) -> OperationModel | None:
        """Return the operation at a path; the paths of the two services differ."""
        return self._operations.get(path)

    def parse(self, operation: OperationModel, body: bytes) -> Call:
        """Return the call that the JSON body describes; raise `ApiError`."""
        params = _parse_json(body)
        validate(params, operation)
        return Call(operation, params)

    def serialise(self, operation: OperationModel, output: dict[str, Any]) -> Reply:
        """Return the reply to an operation; operations without an output shape answer with an empty body."""
        shape = operation.output_shape
        body = b"" if shape is None else json.dumps(_shaped(output, shape)).encode()
        return _reply(200, body, _REST_CONTENT_TYPE)

    def error_reply(self, operation: OperationModel, error: ApiError) -> Reply:
        """Return an error with the code in a header and the status that the service's model gives it."""
        declared = {shape.name: shape.metadata["error"] for shape in operation.error_shapes}
        status = declared.get(error.code, {}).get("httpStatusCode", error.http_status)
        reply = _reply(status, json.dumps({"message": error.message}).encode(), _REST_CONTENT_TYPE)
        reply.headers["x-amzn-ErrorType"] = error.code
        return reply


def region_of_request(headers: Message, default: str) -> str:
    """Return the region of the SigV4 credential scope; any signature is accepted, also none."""
    match = _CREDENTIAL_SCOPE.search(headers.get("Authorization") or "")
    return match.group(1) if match else default


def error_reply(error: ApiError) -> Reply:
    """Return an error in the form of AWS JSON 1.1."""
    body = json.dumps({"__type": error.code, "message": error.message}).encode()
    reply = _reply(error.http_status, body)
    reply.headers["x-amzn-ErrorType"] = error.code
    return reply


def _service_model(name: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(name, "service-2"), name)


def _reply(http_status: int, body: bytes, content_type: str = CONTENT_TYPE) -> Reply:
    return Reply(http_status, body, {"Content-Type": content_type, "x-amzn-RequestId": str(uuid.uuid4())})


def _parse_json(body: bytes) -> dict[str, Any]:
    try:
        parsed = without_nulls(json.loads(body or b"{}"))
        # A lone surrogate is valid JSON, but cannot be encoded and stored.
        json.dumps(parsed, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ApiError("SerializationException", f"The request is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise ApiError("SerializationException", "The request is not a JSON object.")
    return parsed


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
