"""Pictures of mails, as a person sees them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stack.browser import CHROMIUM
from stack.commands.preview import take_pictures

PNG = b"\x89PNG\r\n\x1a\n"
MAIL = (
    "<html><head><meta name='viewport' content='width=device-width'>"
    "<style>@media (prefers-color-scheme: dark) { body { background: #000 } }</style></head>"
    "<body style='margin:0'><div style='height:1500px'>Mail</div></body></html>"
)


def size(png: Path) -> tuple[int, int]:
    head = png.read_bytes()[:24]
    assert head.startswith(PNG)
    return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_mail_is_taken_whole_at_two_widths_light_and_dark(tmp_path: Path) -> None:
    (tmp_path / "01-a.html").write_text(MAIL)
    (tmp_path / "mails.json").write_text(json.dumps(["01-a.html"]))
    pictures = {picture.name: picture for picture in take_pictures(tmp_path)}
    assert sorted(pictures) == ["01-a-1200-dark.png", "01-a-1200.png", "01-a-390-dark.png", "01-a-390.png"]
    assert size(pictures["01-a-390.png"]) == (390, 1500)
    assert size(pictures["01-a-1200.png"])[1] == 1500
    assert pictures["01-a-390.png"].read_bytes() != pictures["01-a-390-dark.png"].read_bytes()
