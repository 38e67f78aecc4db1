"""Manifests as JSON, also of the former format."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from recsync.export.manifest import ExportedObject, Manifest
from recsync.program import DatasetType
from recsync.program.intervals import Interval

FIVE = datetime(2026, 11, 22, 5, tzinfo=UTC)
EXPORTED = ExportedObject("shop/exports/items/2026-11-22T0500Z.csv", 1, 2, "digest", "etag")
MANIFEST = Manifest(Interval(FIVE, FIVE + timedelta(hours=1)), {DatasetType.ITEMS: EXPORTED})


def test_a_manifest_is_read_back_as_it_was_written() -> None:
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST


def test_a_manifest_of_the_former_format_is_read() -> None:
    document = MANIFEST.to_json()
    del document["objects"]["ITEMS"]["quarantined"]
    assert Manifest.from_json(document) == MANIFEST


def test_a_folder_is_told_by_its_key() -> None:
    assert not EXPORTED.is_folder
    assert ExportedObject("shop/imports/run/items/", 1, 2, "digest", "").is_folder
