"""Make requests that must be refused, for any operation, from its input shape alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

_ROLE = "arn:aws:iam::000000000000:role/Nobody"
_LOCATION = "s3://no-such-bucket/x/"


def bad_requests(operation: OperationModel, region: str) -> Iterator[dict[str, Any]]:
    """Yield one request with a malformed member, and one that names what does not exist, where it can."""
    shape = operation.input_shape
    if shape is None:
        return
    unknown = f"arn:aws:personalize:{region}:000000000000:nothing/none"
    members = list(shape.required_members) or _first_reference(shape)
    request = {name: _minimal(name, shape.members[name], unknown) for name in members}
    # Two lists declare an error for their token only.
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
    """Return the request with its first string made too long, which boto3 lets through."""
    for name in [*request, "nextToken"]:
        member = shape.members.get(name)
        longest = member.metadata.get("max") if member is not None and member.type_name == "string" else None
        if longest is not None:
            return {**request, name: "!" * (int(longest) + 1)}
    return None
