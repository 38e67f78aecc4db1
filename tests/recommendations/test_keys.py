from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recommendations.keys import KeyRing, main, new_key, read_keys
from recsync.errors import FatalError


def command(file: Path, *words: str) -> int:
    return main(["--file", str(file), *words])


def test_a_new_key_is_shown_once_and_kept_as_a_hash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys.json"
    assert command(file, "new", "--limit", "5/second", "--expires-in", "90d") == 0
    key = capsys.readouterr().out.strip()
    assert key.split("_")[2] not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    (entry,) = read_keys(file)
    assert entry.expires_at is not None
    left = datetime.fromisoformat(entry.expires_at) - datetime.now(UTC)
    assert timedelta(days=89) < left <= timedelta(days=90)
    grant = KeyRing(file, "1/second").find(key.encode())
    assert grant is not None
    assert (grant.limit.amount, grant.key.id) == (5, entry.id)
    assert command(file, "list") == 0
    shown = capsys.readouterr().out
    assert entry.id in shown
    assert key not in shown


def test_a_key_is_rotated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "keys.json"
    old = new_key(file)
    ring = KeyRing(file, "1/second")
    new = new_key(file)
    assert ring.find(new.encode()) is None
    ring.refresh()
    assert ring.find(new.encode())
    assert ring.find(old.encode())
    name = old.split("_")[1]
    assert command(file, "expire", name, "--in", "24h") == 0
    ring.refresh()
    assert ring.find(old.encode()), "until then"
    text = file.read_text()
    file.write_text(
        text.replace(str(datetime.now(UTC).year), "2020").replace(str(datetime.now(UTC).year + 1), "2020")
    )
    ring.refresh()
    assert ring.find(old.encode()) is None
    assert command(file, "remove", name) == 0
    assert len(read_keys(file)) == 1
    assert command(file, "remove", name) == 1
    assert f"has no key {name}" in capsys.readouterr().err


def test_a_missing_or_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    with pytest.raises(FatalError, match=r"Make a key: python -m recommendations\.keys new --file"):
        KeyRing(file, "1/second")
    for text in ("", "{}", '{"keys": [{"id": "x", "secret": "y"}]}'):
        file.write_text(text)
        with pytest.raises(FatalError, match="is damaged"):
            KeyRing(file, "1/second")


def test_a_wrong_limit_or_span_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("new", "--limit", "many"), ("new", "--expires-in", "soon")):
        with pytest.raises(SystemExit):
            command(tmp_path / "keys.json", *words)
    assert "such as 500/second" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
