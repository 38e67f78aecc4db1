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
    "<style>@media (prefers-color-scheme: dark) { body { background: #000; color: #fff } }</style></head>"
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
    looked = take_pictures(tmp_path)
    assert not any(looked.values())
    pictures = {picture.name: picture for picture in looked}
    assert sorted(pictures) == ["01-a-1200-dark.png", "01-a-1200.png", "01-a-390-dark.png", "01-a-390.png"]
    assert size(pictures["01-a-390.png"]) == (390, 1500)
    assert size(pictures["01-a-1200.png"])[1] == 1500
    assert pictures["01-a-390.png"].read_bytes() != pictures["01-a-390-dark.png"].read_bytes()


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("<div style='width:500px'>wide</div>", "it scrolls sideways"),
        ("<p style='color:#999'>pale</p>", "a text has too little contrast"),
        (
            "<p style='overflow:hidden;white-space:nowrap;width:50px'>much too long for this</p>",
            "a text is cut off",
        ),
        ("<img src='nowhere.png' alt='' width='9' height='9'>", "a picture does not load"),
    ],
)
def test_what_only_a_browser_sees_is_told(tmp_path: Path, body: str, found: str) -> None:
    (tmp_path / "a.html").write_text(
        f"<meta name='viewport' content='width=device-width'><body>{body}</body>"
    )
    (tmp_path / "mails.json").write_text(json.dumps(["a.html"]))
    faults = {picture.stem: told for picture, told in take_pictures(tmp_path).items()}
    assert found in faults["a-390"]
