from __future__ import annotations

from dataclasses import replace

from recsync.forget.certificate import Certificate, batch_certificate, batch_text

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


def test_the_certificate_of_a_run_has_the_sums_and_says_where_the_others_are() -> None:
    people = [replace(FOUND, erasure=name, batch="batch-1", people=2) for name in ("0123", "4567")]
    assert "7 record(s) of all 2 people of batch-1 deleted" in people[0].text()
    sums = {"looked_at": 1200, "read": 30, "read_bytes": 2_000_000, "rewritten": 4, "rows": {"exports": 6}}
    document = batch_certificate(people, sums, places="s3://b/shop/erasure/certificates/")
    assert document["erasures"] == ["0123", "4567"]
    assert document["braze"] == {"mode": "profile", "profiles": 2}
    text = batch_text(document)
    assert text.startswith("2 people were erased from shop in one run, batch-1")
    assert "1,200 objects, 30 of them read (2.0 MB), 4 rewritten; rows: exports 6" in text
    assert "s3://b/shop/erasure/certificates/" in text
