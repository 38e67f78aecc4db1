"""Turn the results of calls into a Markdown table; make invalid requests from input shapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError, ParamValidationError
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from personalize_local.operations.registry import OPERATIONS
from personalize_local.parity.driver import SERVICES, Recorder, client_method
from personalize_local.real_time import service as real_time

_MOST_SHOWN_CHARACTERS = 200
_ROLE = "arn:aws:iam::000000000000:role/Nobody"
_LOCATION = "s3://no-such-bucket/x/"


@dataclass(frozen=True)
class OperationResult:
    """Result of one operation: whether it is registered, refuses bad requests, and replies according to its shape."""

    service: str
    operation: str
    implemented: bool
    validated: bool
    tested: bool
    problems: tuple[str, ...] = ()


def operations(service: str) -> list[OperationModel]:
    """Return all operations of a service as botocore knows them."""
    model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
    return [model.operation_model(name) for name in model.operation_names]


def make_rows(recorder: Recorder, region: str) -> list[OperationResult]:
    """Return a row per operation of all three services; sends the bad requests now."""
    registered = {
        "personalize": set(OPERATIONS),
        **{key: set(each) for key, each in real_time.OPERATIONS.items()},
    }
    rows = []
    for service in SERVICES:
        for operation in operations(service):
            implemented = operation.name in registered[service]
            accepted = _not_refused(recorder, service, operation, region) if implemented else []
            seen = recorder.of(service, operation.name)
            rows.append(
                OperationResult(
                    service,
                    operation.name,
                    implemented,
                    implemented and not accepted,
                    seen.succeeded > 0 and not seen.problems,
                    (*accepted, *seen.problems),
                )
            )
    return rows


def as_markdown(rows: Iterable[OperationResult]) -> str:
    """Return the table, followed by the problems."""
    rows = list(rows)
    lines = ["| service | operation | implemented | validated | tested |", "|---|---|---|---|---|"]
    for row in rows:
        marks = " | ".join("yes" if mark else "no" for mark in (row.implemented, row.validated, row.tested))
        lines.append(f"| {row.service} | {row.operation} | {marks} |")
    lines += [f"- {row.operation}: {problem}" for row in rows for problem in row.problems]
    return "\n".join(lines)


def _not_refused(recorder: Recorder, service: str, operation: OperationModel, region: str) -> list[str]:
    """Return the bad requests that were not refused with an error declared for the operation."""
    client = recorder.clients[service]
    call = getattr(client, client_method(client, operation.name))
    declared = {shape.name for shape in operation.error_shapes}
    wrong = []
    count = 0
    for request in bad_requests(operation, region):
        count += 1
        try:
            call(**request)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code not in declared:
                wrong.append(f"{_short(request)} was refused with {code}, which the model does not declare")
        except ParamValidationError as error:
            wrong.append(f"{_short(request)} did not leave boto3: {error}")
        else:
            wrong.append(f"{_short(request)} was not refused")
    return wrong if count else ["no bad request could be made"]


def _short(request: object) -> str:
    return str(request)[:_MOST_SHOWN_CHARACTERS]


def bad_requests(operation: OperationModel, region: str) -> Iterator[dict[str, Any]]:
    """Yield a request with a malformed member and one with an unknown ARN, if the operation has such members."""
    shape = operation.input_shape
    if shape is None:
        return
    unknown = f"arn:aws:personalize:{region}:000000000000:nothing/none"
    members = list(shape.required_members) or _first_reference(shape)
    request = {name: _minimal(name, shape.members[name], unknown) for name in members}
    # Two list operations only declare an error for their token.
    refuses_input = any(error.name == "InvalidInputException" for error in operation.error_shapes)
    spoilt = _spoilt(request, shape) if refuses_input else None
    if spoilt is not None:
        yield spoilt
    if any(name.endswith("Arn") and name != "roleArn" for name in members) or "trackingId" in members:
        yield request
    if "nextToken" in shape.members:
        yield {**request, "nextToken": "not-a-token"}


def _first_reference(shape: StructureShape) -> list[str]:
    arns = [name for name in shape.members if name.endswith("Arn")]
    return arns[:1] if "nextToken" not in shape.members else []


def _minimal(name: str, shape: Shape, unknown_arn: str) -> Any:
    if isinstance(shape, StructureShape):
        members = shape.required_members
        return {each: _minimal(each, shape.members[each], unknown_arn) for each in members}
    if isinstance(shape, ListShape):
        least = max(1, int(shape.metadata.get("min", 0)))
        return [_minimal(name, shape.member, unknown_arn)] * least
    if isinstance(shape, MapShape):
        return {}
    if shape.type_name == "string":
        return _minimal_string(name, shape, unknown_arn)
    return {"boolean": False, "timestamp": 1}.get(shape.type_name, max(1, int(shape.metadata.get("min", 1))))


def _minimal_string(name: str, shape: Shape, unknown_arn: str) -> str:
    if getattr(shape, "enum", None):
        return str(shape.enum[0])  # type: ignore[attr-defined]  # only strings have an enum
    if shape.name == "RoleArn" or name == "roleArn":
        return _ROLE
    if name.lower().endswith("arn"):
        return unknown_arn
    if shape.name == "S3Location":
        return _LOCATION
    return "x" * max(1, int(shape.metadata.get("min", 1)))


def _spoilt(request: dict[str, Any], shape: StructureShape) -> dict[str, Any] | None:
    """Return the request with its first string made too long, which boto3 does not check."""
    for name in [*request, "nextToken"]:
        member = shape.members.get(name)
        longest = member.metadata.get("max") if member is not None and member.type_name == "string" else None
        if longest is not None:
            return {**request, name: "!" * (int(longest) + 1)}
    return None
