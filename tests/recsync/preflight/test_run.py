from __future__ import annotations

import pytest
from small_shop import SmallShop

from recsync.errors import FatalError
from recsync.preflight import run
from recsync.preflight.findings import Findings
from recsync.preflight.run import connections_of, look, main
from recsync.program.files import program_yaml
from recsync.program.parse import parse_program
from recsync.push.store import LastSent, LastSentState


def test_a_program_that_does_not_exist_names_those_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FatalError, match=r"no include/programs/grocer\.yaml.*did you mean grocery\?"):
        look("grocer")
    assert main("grocer") == 1
    assert "did you mean grocery?" in capsys.readouterr().err


def test_every_connection_is_known_by_the_field_that_names_it() -> None:
    alert = {"via": "slack", "connection": "team"}
    shop = parse_program("shop", {"braze": {"attribute": "recs"}, "aws": "aws_eu", "alerts": [alert]})
    assert connections_of(shop) == {
        ("warehouse",): "warehouse",
        ("braze", "connection"): "braze_default",
        ("aws",): "aws_eu",
        ("alerts", 0, "connection"): "team",
    }


def test_another_identifier_than_the_last_delivery_is_said_to_be_a_resync(small_shop: SmallShop) -> None:
    store = small_shop.context.store(LastSent)
    store.replace(LastSentState(table="state/last_sent/1.parquet"), None)

    def notes() -> list[str]:
        path = small_shop.include / "programs" / "shop.yaml"
        findings = Findings(program_yaml(path))
        run._check_identifier(small_shop.context, findings)
        assert not findings.problems
        return findings.notes

    assert notes() == []
    small_shop.write_program(braze={"attribute": "recs", "identifier": "email"})
    (note,) = notes()
    assert "by external_id, and the program file by email" in note
    assert "a resync" in note
