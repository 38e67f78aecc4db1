"""Every operation of the service: called with boto3, its reply checked, bad requests refused."""

from __future__ import annotations

from typing import Any

import pytest

from personalize_local.parity.driver import SERVICES, reply_problems
from personalize_local.parity.table import OperationResult, as_markdown, bad_requests, operations
from personalize_local.parity.walk import examine

OPERATIONS = [operation.name for service in SERVICES for operation in operations(service)]


@pytest.fixture(scope="module")
def examined(fast_server: Any, world: Any) -> tuple[list[OperationResult], list[str]]:
    """Return what calling every operation of the server showed."""
    return examine(fast_server.url, world.bucket, world.region)


@pytest.fixture(scope="module")
def rows(examined: tuple[list[OperationResult], list[str]]) -> dict[str, OperationResult]:
    """Return the row of each operation."""
    return {row.operation: row for row in examined[0]}


def test_every_step_of_the_walk_is_passed(examined: tuple[list[OperationResult], list[str]]) -> None:
    assert examined[1] == []


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_is_implemented_validated_and_tested(
    rows: dict[str, OperationResult], operation: str
) -> None:
    row = rows[operation]
    assert row.problems == ()
    assert (row.implemented, row.validated, row.tested) == (True, True, True)


def test_the_table_says_no_where_nothing_is(rows: dict[str, OperationResult]) -> None:
    assert len(rows) == len(OPERATIONS) == 79
    absent = OperationResult("personalize", "CreateNothing", False, False, False)
    lines = as_markdown([*rows.values(), absent]).splitlines()
    assert "| personalize | UpdateDataset | yes | yes | yes |" in lines
    assert "| personalize | CreateNothing | no | no | no |" in lines


def _operation(name: str) -> Any:
    return next(each for each in operations("personalize") if each.name == name)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"schemaArn": 1}', "schemaArn"),
        (b'{"schemaArn": "schema/x"}', "pattern"),
        (b'{"arn": "x"}', "arn"),
    ],
)
def test_a_reply_off_its_shape_is_noticed(body: bytes, problem: str) -> None:
    found = reply_problems(body, _operation("CreateSchema"))
    assert len(found) == 1
    assert problem in found[0]


def test_a_reply_on_its_shape_is_not_complained_about() -> None:
    good = b'{"schemaArn": "arn:aws:personalize:us-east-1:000000000000:schema/x"}'
    assert reply_problems(good, _operation("CreateSchema")) == []
    assert reply_problems(b"", _operation("DeleteSchema")) == []


def test_bad_requests_are_malformed_or_name_what_does_not_exist() -> None:
    malformed, unknown = bad_requests(_operation("DeleteSchema"), "us-east-1")
    assert malformed["schemaArn"] == "!" * 257
    assert unknown["schemaArn"].startswith("arn:aws:personalize:us-east-1:")
    assert [*bad_requests(_operation("ListSchemas"), "us-east-1")] == [{"nextToken": "not-a-token"}]
