from __future__ import annotations

from pathlib import Path

import pytest

from recsync.errors import FatalError
from recsync.program.problems import read_text_file

TEXT = "SELECT 'café' AS a,\n 'naïve' AS b\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_utf_8_is_read_with_and_without_a_mark(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.sql").write_text(TEXT, encoding=encoding)
    assert read_text_file(tmp_path / "a.sql", "a.sql") == TEXT


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("latin-1", r"a\.sql:1: byte 0xe9 is not UTF-8.*iconv -f WINDOWS-1252"),
        ("cp1252", r"a\.sql:1: byte 0xe9 is not UTF-8"),
        ("utf-16", r"a\.sql:1: UTF-16 or binary, not UTF-8.*iconv -f UTF-16"),
        ("utf-16-le", r"a\.sql:1: UTF-16"),
        ("utf-16-be", r"a\.sql:1: UTF-16"),
    ],
)
def test_another_encoding_names_the_file_and_the_remedy(tmp_path: Path, encoding: str, words: str) -> None:
    (tmp_path / "a.sql").write_bytes(TEXT.encode(encoding))
    with pytest.raises(FatalError, match=rf"^include/sql/{words}"):
        read_text_file(tmp_path / "a.sql", "include/sql/a.sql")


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=r"^include/sql/a\.sql cannot be read: No such file"):
        read_text_file(tmp_path / "a.sql", "include/sql/a.sql")
