from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from small_shop import SmallShop

from recsync.errors import FatalError
from recsync.export.manifest import ExportedObject, Manifest
from recsync.export.store import ExportStore, ReportStore
from recsync.program import DatasetType
from recsync.program.intervals import Interval
from recsync.recommend.list_inputs import read_audience, read_catalog
from recsync.recommend.unknown_ids import check_known_ids, known_ids
from recsync.storage.hashes import string_hashes

NOW = datetime(2026, 11, 22, 5, tzinfo=UTC)
RUN = "20261122T050000-r"
EVENTS = DatasetType.INTERACTIONS


def put_ids(shop: SmallShop, exported: str, of: DatasetType, *ids: str) -> None:
    hashes = np.sort(string_hashes(pa.array(ids)))
    shop.context.store(ReportStore).put_ids(exported, hashes, of=of)


def put_snapshot(shop: SmallShop, *, users: tuple[str, ...], items: tuple[str, ...]) -> None:
    """Publish a full snapshot that was checked."""
    key = shop.context.keys.full("20261120T000000-f", EVENTS)
    put_ids(shop, key, DatasetType.USERS, *users)
    put_ids(shop, key, DatasetType.ITEMS, *items)
    exported = ExportedObject(key, 1, 1, "digest", shop.context.bucket.put(key, b"x"))
    manifest = Manifest(Interval.until(NOW - timedelta(days=2)), {EVENTS: exported})
    shop.context.store(ExportStore).publish_full("20261120T000000-f", manifest)


def test_ids_that_no_export_knows_stop_the_run(small_shop: SmallShop, tmp_path: Path) -> None:
    context, audience = small_shop.context, tmp_path / "audience.parquet"
    read_audience(context, NOW, audience)
    catalog = read_catalog(context, NOW, RUN)
    assert known_ids(context, DatasetType.USERS, tmp_path) is None
    check_known_ids(context, RUN, audience, catalog)  # nothing to compare with
    assert context.bucket.get_json(context.keys.known_ids_report(RUN)) == {}

    small_shop.write_program(checks={"tolerated_rows": 0})
    context = small_shop.context
    put_snapshot(small_shop, users=("other",), items=("i1", "i2"))
    with pytest.raises(FatalError) as stopped:
        check_known_ids(context, RUN, audience, catalog)
    text = str(stopped.value)
    assert "audience.sql returns 2 people, 2 of them (100.0%) in no export" in text
    assert "Nothing was asked of Amazon Personalize" in text
    report = context.bucket.get_json(context.keys.known_ids_report(RUN))
    assert (report["audience"]["unknown"], report["catalog"]["unknown"]) == (2, 1)

    # The hours since the snapshot count too.
    later = context.keys.export(EVENTS, Interval(NOW - timedelta(hours=1), NOW).key)
    put_ids(small_shop, later, DatasetType.USERS, "u1")
    check_known_ids(context, RUN, audience, catalog)
    report = context.bucket.get_json(context.keys.known_ids_report(RUN))
    assert report["audience"]["unknown"] == 1
