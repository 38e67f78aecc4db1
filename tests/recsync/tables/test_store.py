"""Objects of tables in a bucket."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys
from recsync.tables.schema import DELIVERIES, LISTS
from recsync.tables.store import TableStore


def test_objects_are_listed_by_day(bucket: Bucket, keys: Keys, tmp_path: Path) -> None:
    store, path = TableStore(bucket, keys), tmp_path / "x.parquet"
    path.write_bytes(b"x")
    days = [date(2025, 12, 31), date(2026, 1, 1), date(2026, 1, 10)]
    for day in days:
        store.put(LISTS, day, f"run-{day.day}", path)
    store.put(DELIVERIES, days[0], "d", path)
    bucket.put("shop/tables/lists/date=2026-01-01/_SUCCESS", b"")
    assert [(each.day, each.name) for each in store.objects(LISTS)] == [
        (days[0], "run-31"),
        (days[1], "run-1"),
        (days[2], "run-10"),
    ]
    assert [each.day for each in store.objects(LISTS, since=days[1])] == days[1:]
    assert [each.day for each in store.objects(LISTS, since=days[1], until=date(2026, 1, 9))] == [days[1]]
    assert store.objects(LISTS)[0].key == "shop/tables/lists/date=2025-12-31/run-31.parquet"
