"""Turn what the calls showed into rows, and rows into a Markdown table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from botocore.exceptions import ClientError, ParamValidationError
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel

from personalize_local.operations.registry import OPERATIONS
from personalize_local.parity.record import SERVICES, Recorder
from personalize_local.parity.requests import bad_requests
from personalize_local.real_time import registry as real_time

_MOST_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class Row:
    """Say of one operation whether it is registered, refuses bad requests, and answered as its shape says."""

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


def make_rows(recorder: Recorder, region: str) -> list[Row]:
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
                Row(
                    service,
                    operation.name,
                    implemented,
                    implemented and not accepted,
                    seen.succeeded > 0 and not seen.problems,
                    (*accepted, *seen.problems),
                )
            )
    return rows


def as_markdown(rows: Iterable[Row]) -> str:
    """Return the table, and below it what was wrong, if anything."""
    rows = list(rows)
    lines = ["| service | operation | implemented | validated | tested |", "|---|---|---|---|---|"]
    for row in rows:
        marks = " | ".join("yes" if mark else "no" for mark in (row.implemented, row.validated, row.tested))
        lines.append(f"| {row.service} | {row.operation} | {marks} |")
    lines += [f"- {row.operation}: {problem}" for row in rows for problem in row.problems]
    return "\n".join(lines)


def _not_refused(recorder: Recorder, service: str, operation: OperationModel, region: str) -> list[str]:
    """Name the bad requests that were not refused with an error that the model declares for the operation."""
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


def client_method(client: object, operation: str) -> str:
    """Return the name of the client's method for an operation."""
    methods: dict[str, str] = client.meta.method_to_api_mapping  # type: ignore[attr-defined]  # boto3 has no types
    return next(method for method, name in methods.items() if name == operation)
