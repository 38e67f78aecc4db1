from __future__ import annotations

from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from recsync.errors import FatalError, ProgramError, RetriableError
from recsync.preflight.findings import Findings
from recsync.program.files import program_yaml


@pytest.fixture
def findings(tmp_path: Path) -> Findings:
    path = tmp_path / "shop.yaml"
    path.write_text("braze:\n  attribute: recs\n")
    return Findings(program_yaml(path))


def test_every_problem_is_kept_with_its_line_and_raised_at_the_end(findings: Findings) -> None:
    findings.raise_any()
    findings.add(("braze", "attribute"), "is taken", "recs")
    with findings.collecting(("braze",)):
        raise FatalError("no access")
    with findings.collecting(("braze",)):
        raise ProgramError(["shop.yaml:9: x"])
    with findings.collecting("include/sql/shop/items.sql:1"):
        raise FatalError("include/sql/shop/items.sql:3: is wrong")
    with findings.collecting(("warehouse",)):
        raise RetriableError("try later")
    with pytest.raises(FatalError) as caught:
        findings.raise_any()
    assert str(caught.value).splitlines() == [
        "shop.yaml:2: braze.attribute: is taken (it is 'recs')",
        "shop.yaml:1: braze: no access",
        "shop.yaml:9: x",
        "include/sql/shop/items.sql:3: is wrong",
        "shop.yaml:1: warehouse: try later",
    ]


@pytest.mark.parametrize(
    "error", [RetriableError("try later"), ClientError({"Error": {"Code": "500"}}, "try later")], ids=type
)
def test_a_check_that_failed_for_the_moment_is_retried(findings: Findings, error: Exception) -> None:
    with findings.collecting(("warehouse",)):
        raise error
    with pytest.raises(RetriableError, match="try later"):
        findings.raise_any()


def test_an_error_that_nothing_expected_goes_on(findings: Findings) -> None:
    with pytest.raises(KeyError), findings.collecting(("braze",)):
        {}["x"]
