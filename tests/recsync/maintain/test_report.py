from __future__ import annotations

import json

from recsync.maintain.report import MaintainReport, ReportEntry

ENTRY = ReportEntry("full", "20260101T000000-aaaaaaaa", "the newest published", 3)
OBJECTS = MaintainReport("shop", "run", dry_run=False, removed=(ENTRY,), recent={"batch": 2}, left=("one",))
RESOURCES = MaintainReport(
    "shop",
    "run",
    dry_run=True,
    kept=(ReportEntry("solution", "s", "the champion is a version of it"),),
    orphans=(ReportEntry("schema", "theirs", "not named as recsync names its resources"),),
    counts={"solutions": 8, "schemas": 2},
)


def test_the_document_is_read_back_and_keeps_its_names() -> None:
    document = json.loads(json.dumps(RESOURCES.to_json()))
    assert MaintainReport.from_json(document) == RESOURCES
    assert {"removed", "stays", "young", "unowned", "idle", "counts", "left"} < document.keys()
    assert MaintainReport.from_json(json.loads(json.dumps(OBJECTS.to_json()))) == OBJECTS


def test_the_figures_of_a_metric_attribution_are_in_the_text_and_may_be_missing_in_a_document() -> None:
    told = MaintainReport("shop", "run", dry_run=False, attribution=("sold: 3 after mails of shop",))
    assert told.text().splitlines()[-1] == "Metric attribution: sold: 3 after mails of shop"
    document = told.to_json()
    del document["attribution"]
    assert MaintainReport.from_json(document).attribution == ()


def test_the_parts_are_joined() -> None:
    whole = MaintainReport.joined("shop", "run", [OBJECTS, RESOURCES])
    assert whole.dry_run
    assert (whole.removed, whole.kept, whole.orphans) == ((ENTRY,), RESOURCES.kept, RESOURCES.orphans)
    assert (whole.recent, whole.counts, whole.left) == ({"batch": 2}, RESOURCES.counts, ("one",))
    assert whole.nearly_full == ["8 of 10 solutions"]


def test_the_text_shows_the_first_entries_of_each_section() -> None:
    many = MaintainReport("shop", "run", dry_run=True, removed=(ENTRY,) * 42, recent={"batch": 2})
    lines = many.text().splitlines()
    assert lines[0] == "Would be removed: 42 (126 bytes)"
    assert lines[1] == "  full 20260101T000000-aaaaaaaa: the newest published"
    assert lines[-2:] == ["  and 2 more", "Recent: 2 batch"]
