"""``make preview`` behind its services."""

from __future__ import annotations

import io
import json
import re
import stat
import sys

from recsync.preview.__main__ import main


def run(shop, monkeypatch, folder, typed: str = "") -> int:
    monkeypatch.setattr(sys, "argv", ["preview", shop.kit.name, str(folder)])
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    return main()


def test_the_sample_is_written_as_files_and_told_without_ids(shop, tmp_path, monkeypatch, capsys):
    lists = {**shop.kit.lists(20), f"{shop.kit.name}-999999": []}
    shop.deliver(lists)
    folder = tmp_path / "out"
    assert run(shop, monkeypatch, folder) == 0
    told = capsys.readouterr().out
    assert "reduced prices: rendered" in told
    assert "no list: nothing would be sent" in told
    assert "stop: a picture does not load" in told
    assert shop.kit.name not in told
    files = json.loads((folder / "mails.json").read_text())
    assert {path.name for path in folder.iterdir()} == {*files, "index.html", "mails.json"}
    # A browser must find them by their name.
    assert all(re.fullmatch(r"[0-9a-z-]+\.html", name) for name in files)
    assert all("Picked for you" in (folder / name).read_text() for name in files)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    # Of named people nothing is left of the sample.
    assert run(shop, monkeypatch, folder, f"{shop.kit.name}-000007\n") == 0
    assert json.loads((folder / "mails.json").read_text()) == ["01-a-person-you-named.html"]


def test_without_lists_it_says_what_to_run(shop, tmp_path, monkeypatch, capsys):
    assert run(shop, monkeypatch, tmp_path / "out") == 1
    assert "has published no lists yet" in capsys.readouterr().err
