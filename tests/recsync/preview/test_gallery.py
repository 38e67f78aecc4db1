"""The page of mails."""

from __future__ import annotations

import re

from recsync.preview.findings import MailFinding
from recsync.preview.gallery import gallery, in_mode
from recsync.preview.mails import Mail, Preview
from recsync.preview.sample import Chosen

HTML = (
    '<meta name="color-scheme" content="light dark"><style>:root { color-scheme: light dark; }'
    "@media (prefers-color-scheme: dark) { .a { color: #fff } }</style><p class='a'>Hi & <script>x</script>\n</p>"
)


def test_a_mode_does_not_depend_on_the_readers_setting():
    dark, light = in_mode(HTML, dark=True), in_mode(HTML, dark=False)
    assert "@media all { .a" in dark
    assert "@media not all { .a" in light
    assert dark.count("dark") == 2
    assert "light dark" not in dark + light


def test_mails_are_shown_in_frames_that_run_nothing():
    mails = (
        Mail(Chosen("best scores", "p-1"), HTML, "", ["a"], (MailFinding("stop", "a link is empty"),)),
        Mail(Chosen("no list", "p-2", "<nothing>"), "", "recs: none"),
    )
    page = gallery(Preview("shop", "r", mails), "Mails")
    frames = re.findall(r"<iframe ([^>]*)>", page)
    assert len(frames) == 4
    assert all('sandbox=""' in frame for frame in frames)
    assert "<script" not in page
    assert "\\u000a" not in page
    assert "a link is empty" in page
    assert "Nothing would be sent: recs: none" in page
    assert "made none: &lt;nothing&gt;" in page
