"""The ids of `make forget` come from a file or standard input, never from the command line."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from stack.commands.forget import read_people
from stack.errors import StackError


def test_a_file_names_one_person_a_line(tmp_path: Path) -> None:
    file = tmp_path / "people.txt"
    file.write_bytes("\ufeff17\r\n\nanna b\tbraze-9\n".encode())
    assert read_people(file) == ["17", "anna b\tbraze-9"]


def test_without_a_file_they_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("17\n$18\n"))
    assert read_people(None) == ["17", "$18"]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe1\x00"])
def test_nobody_and_unreadable_files_are_told_without_their_content(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "people.txt"
    file.write_bytes(content)
    with pytest.raises(StackError, match=r"USERS=<file>|cannot be read as UTF-8"):
        read_people(file)
    with pytest.raises(StackError, match="cannot be read"):
        read_people(tmp_path / "missing.txt")
