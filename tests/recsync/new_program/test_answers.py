from __future__ import annotations

import io
from pathlib import Path

import pytest

from recsync.errors import FatalError, ProgramError
from recsync.new_program.answers import KEYS, Answers, Question, ask_nobody, ask_terminal

QUESTION = Question("user", "Which column has the user?", ["customer_id", "session_id"])


def written(folder: Path, text: str) -> Path:
    path = folder / "answers.yaml"
    path.write_text(text)
    return path


def test_answers_are_read_as_they_are(tmp_path: Path) -> None:
    found = Answers.read(written(tmp_path, "user: customer_id\nevent: null\nmonth_first: true\n"))
    assert found.given == {"user": "customer_id", "event": None, "month_first": True}
    assert Answers.read(written(tmp_path, "# nothing yet\n")).given == {}


def test_every_wrong_key_is_named_with_what_was_meant_and_the_keys_there_are(tmp_path: Path) -> None:
    path = written(tmp_path, "usr: customer_id\ntimes: at\nprice: 5\nmonth_first: perhaps\n")
    with pytest.raises(FatalError) as error:
        Answers.read(path)
    told = str(error.value)
    assert "unknown key usr; did you mean user?" in told
    assert "unknown key times; did you mean time?" in told
    assert "price must be a name" in told
    assert "month_first must be true or false" in told
    assert all(f"  {key}: " in told for key in KEYS)


@pytest.mark.parametrize("text", ["- user\n", "just text\n"])
def test_a_file_that_is_no_list_of_answers_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(FatalError, match="one answer a line"):
        Answers.read(written(tmp_path, text))
    with pytest.raises(ProgramError):
        Answers.read(written(tmp_path, "a: [\n"))


def test_nobody_is_told_what_to_write() -> None:
    with pytest.raises(
        FatalError, match=r"One of: customer_id, session_id\. .*\n  user: customer_id\n.*ANSWERS"
    ):
        ask_nobody(QUESTION)


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("\n", "customer_id"),
        ("2\n", "session_id"),
        ("session_id\n", "session_id"),
        ("sesion_id\n1\n", "customer_id"),
    ],
)
def test_a_person_answers_by_number_by_name_or_with_the_default(
    typed: str, answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert ask_terminal(QUESTION) == answer
    told = capsys.readouterr().out
    assert "1. customer_id" in told
    assert ("did you mean session_id?" in told) == typed.startswith("sesion")


def test_a_terminal_that_ends_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(FatalError, match="no terminal"):
        ask_terminal(QUESTION)
