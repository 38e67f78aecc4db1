from __future__ import annotations

from dataclasses import replace

from recsync.forget.tasks import Certificate

FOUND = Certificate(
    program="shop",
    erasure="0123",
    person="hash",
    requested_at="2026-11-22T05:00:00+00:00",
    completed_at="2026-11-22T06:00:00+00:00",
    s3={"looked_at": 1200, "objects": {"exports": 2}, "rows": {"exports": 3}, "manifests": 1},
    personalize={"job": "shop-forget", "deleted": 7},
    braze={"mode": "profile", "profiles": 1, "gone": True},
    remains=("models",),
    others=(),
)


def test_the_text_says_what_was_removed_where() -> None:
    lines = FOUND.text().splitlines()
    assert lines[0] == "Certificate of erasure 0123, program shop"
    assert "  S3: 1,200 objects were looked at." in lines
    assert "    exports: 3 row(s) or value(s) in 2 object(s)" in lines
    assert "  Amazon Personalize: data deletion job shop-forget; 7 record(s) deleted" in lines
    assert any(line.startswith("  Braze: the profile was deleted (1 id(s))") for line in lines)
    assert lines[lines.index("Remains") + 1] == "  - models"
    assert lines[lines.index("For others to do") + 1] == "  - nothing"


def test_what_was_not_found_is_said_too() -> None:
    s3 = {"looked_at": 5, "objects": {}, "rows": {}}
    nothing = replace(FOUND, s3=s3, personalize=None, braze={"mode": "profile", "profiles": 0})
    text = nothing.text()
    assert "nothing named the person" in text
    assert "the program has no dataset group there" in text
    assert "no id of the person is known there" in text
