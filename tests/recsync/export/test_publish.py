"""Intervals and objects of an export run as they pass through XCom."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from recsync.export.manifest import ExportedObject, Manifest
from recsync.export.publish import backfill_spans, interval_of, manifest_of, spans, to_xcom
from recsync.program import DatasetType
from recsync.program.intervals import Interval

FIVE = datetime(2026, 11, 22, 5, tzinfo=UTC)
OWN = Interval(FIVE, FIVE + timedelta(hours=1))


def test_a_backfill_exports_its_own_interval_only() -> None:
    (span,) = json.loads(json.dumps(spans("grocery", OWN, imported_until=None, backfill=True)))
    assert interval_of(span) == OWN
    assert (span["key"], span["optional"], span["note"]) == ("2026-11-22T0500Z", False, "")


def test_a_backfill_between_deadlines_exports_the_intervals_that_ended_there() -> None:
    deadline = FIVE + timedelta(minutes=30)
    found = [
        backfill_spans("grocery", deadline + timedelta(days=n), deadline + timedelta(days=n + 1))
        for n in (0, 1)
    ]
    keys = [[span["key"] for span in each] for each in found]
    assert keys[0] == [f"{FIVE + timedelta(hours=n):%Y-%m-%dT%H%MZ}" for n in reversed(range(24))]
    assert keys[1][-1] == "2026-11-23T0500Z", "the next begins where the former ended"


def test_a_manifest_is_built_from_xcom() -> None:
    exported = ExportedObject("shop/exports/items/2026-11-22T0500Z.csv", 1, 2, "digest", "etag", 3)
    returned = json.loads(json.dumps({"ITEMS": to_xcom(exported)}))
    assert manifest_of(OWN, returned) == Manifest(OWN, {DatasetType.ITEMS: exported})
