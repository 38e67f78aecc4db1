"""``make kit``."""

from __future__ import annotations

import shutil
from pathlib import Path

from recsync.email_kit.__main__ import main
from recsync.email_kit.kit import FILES

INCLUDE = Path(__file__).resolve().parents[3] / "include"


def test_the_files_of_a_program_are_written_again(tmp_path, capsys):
    include = tmp_path / "include"
    shutil.copytree(INCLUDE, include)
    cards = include / "email/grocery/cards.liquid"
    cards.write_text("old")
    assert main(["grocery"], include) == 0
    assert cards.read_text() == (INCLUDE / "email/grocery/cards.liquid").read_text()
    assert capsys.readouterr().out.split() == [str(include / "email/grocery" / file) for file in FILES]


def test_a_program_that_is_not_there_is_named(tmp_path, capsys):
    assert main(["nobody"], tmp_path) == 1
    assert "nobody.yaml" in capsys.readouterr().err
