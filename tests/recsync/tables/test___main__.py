"""The command that prints the DDL."""

from __future__ import annotations

import pytest

from recsync.tables.__main__ import main


def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    monkeypatch.setattr("sys.argv", ["recsync.tables", "shop", *arguments])
    assert main() == 0
    return capsys.readouterr().out


def test_it_prints_whole_statements(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(monkeypatch, capsys, "--bucket", "b", "--dialect", "redshift_spectrum", "--days", "2",
                   "--tables", "accounts,lists", "--access", "arn:aws:iam::1:role/r")  # fmt: skip
    assert text.count(";\n") == 1 + 2 + 2 * 2
    assert "IAM_ROLE 'arn:aws:iam::1:role/r'" in text
    assert "'s3://b/shop/tables/lists/'" in text
    assert "REFRESH" in printed(monkeypatch, capsys, "--bucket", "b", "--dialect", "snowflake")
    assert printed(monkeypatch, capsys, "--dialect", "docs").startswith("### accounts")


def test_without_a_bucket_it_asks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AIRFLOW__RECSYNC__BUCKET", raising=False)
    monkeypatch.setattr("sys.argv", ["recsync.tables", "shop"])
    assert main() == 2
    assert "BUCKET=" in capsys.readouterr().err
