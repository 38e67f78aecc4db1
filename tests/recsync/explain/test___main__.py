"""The command of make explain: ids come from standard input."""

from __future__ import annotations

import io

import pytest
from kit import Kit

from recsync.explain import __main__ as command


def test_ids_of_standard_input_are_explained_and_the_table_is_written(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lists = kit.lists(2)
    kit.publish("1", {**lists, list(lists)[1]: []})
    monkeypatch.setattr("sys.argv", ["explain", kit.name])
    monkeypatch.setattr("sys.stdin", io.StringIO(f"\n{next(iter(lists))}\r\nnobody\n"))
    assert command.main() == 0
    first, second = capsys.readouterr().out.split("\n\nNot in the audience")
    assert "The list is published and was not pushed yet." in first
    assert "did not return this person" in second
    target = kit.include / "table.csv"
    monkeypatch.setattr("sys.argv", ["explain", kit.name, "--without-list", str(target)])
    assert command.main() == 0
    assert "nothing fit to mail" in target.read_text()
    monkeypatch.setattr("sys.argv", ["explain", "no-such-program"])
    assert command.main() == 1
    assert "error: " in capsys.readouterr().err
