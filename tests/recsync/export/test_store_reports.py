from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from recsync.export.store import ReportStore
from recsync.program import DatasetType
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

HOUR = "2026-11-20T0500Z"
RUN = "20261122T030000-abcd"


def interval(keys: Keys, name: str, kind: DatasetType = DatasetType.INTERACTIONS) -> str:
    return keys.export(kind, name)


def test_what_an_export_says_lies_where_no_import_reads(keys: Keys) -> None:
    assert (
        keys.companion(interval(keys, HOUR), "reports", ".json")
        == f"shop/exports/reports/interactions/{HOUR}.json"
    )
    full = keys.full(RUN, DatasetType.ITEMS)
    assert keys.companion(full, "ids", ".u64") == f"shop/full/{RUN}/ids/items.u64"
    assert keys.companion(interval(keys, HOUR), "reports", "").startswith(
        keys.export_companions(DatasetType.INTERACTIONS, "reports")
    )


def test_reports_come_back_newest_first_with_their_pages(bucket: Bucket, keys: Keys) -> None:
    reports = ReportStore(bucket, keys)
    exported = [interval(keys, HOUR), interval(keys, "2026-11-21T0500Z"), keys.full(RUN, DatasetType.ITEMS)]
    for number, key in enumerate(exported):
        reports.put(key, {"rows": number}, f"<p>{number}</p>")
    newest = reports.newest(10)
    assert [reports.get(path) for path in newest] == [{"rows": 2}, {"rows": 1}, {"rows": 0}]
    assert reports.newest(1) == newest[:1]
    assert bucket.get(newest[0].replace(".json", ".html")) == b"<p>2</p>"
    assert reports.full_reports(DatasetType.ITEMS) == newest[:1]
    assert reports.full_reports(DatasetType.USERS) == []
    assert reports.get_many([newest[1], "shop/exports/reports/interactions/nothing.json"]) == [{"rows": 1}]


def test_a_rerun_without_bad_rows_leaves_no_quarantine_of_the_former_try(
    bucket: Bucket, keys: Keys, tmp_path: Path
) -> None:
    reports, rows = ReportStore(bucket, keys), tmp_path / "quarantine.jsonl"
    rows.write_text('{"rule": "x"}\n')
    key = reports.put_quarantine(interval(keys, HOUR), rows)
    assert key == f"shop/exports/quarantine/interactions/{HOUR}.jsonl"
    assert bucket.get(key) == b'{"rule": "x"}\n'
    assert reports.put_quarantine(interval(keys, HOUR), None) is None
    assert bucket.get(key) is None


def test_ids_are_gathered_from_a_moment_on(bucket: Bucket, keys: Keys) -> None:
    reports = ReportStore(bucket, keys)
    for day, ids in ((19, [1]), (20, [2, 3]), (21, [])):
        reports.put_ids(
            interval(keys, f"2026-11-{day}T0500Z", DatasetType.USERS), np.array(ids, dtype=np.uint64)
        )
    assert reports.ids(interval(keys, "2026-11-19T0500Z", DatasetType.USERS)).tolist() == [1]
    assert reports.ids(interval(keys, "2026-11-21T0500Z", DatasetType.USERS)) is None, "no id, no object"
    since = reports.exported_since(DatasetType.USERS, datetime(2026, 11, 20, tzinfo=UTC))
    assert since == [interval(keys, "2026-11-20T0500Z", DatasetType.USERS)]
