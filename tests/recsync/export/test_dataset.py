"""What an export is compared with: earlier reports, and the ids of other datasets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from recsync.export.dataset import DatasetExport, earlier_reports, known_ids
from recsync.export.manifest import ExportedObject, Manifest
from recsync.export.store import ReportStore
from recsync.program import DatasetType
from recsync.program.intervals import Interval
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

FIVE = datetime(2026, 11, 22, 5, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
KIND, USERS = DatasetType.INTERACTIONS, DatasetType.USERS
RUNS = [f"202611{day:02}T030000-00" for day in range(1, 22)]


def export(bucket: Bucket, keys: Keys, interval: Interval, key: str) -> DatasetExport:
    store, program = ReportStore(bucket, keys), SimpleNamespace(dataset_types=(KIND, USERS))
    context: Any = SimpleNamespace(store=lambda _: store, keys=keys, program=program)
    return DatasetExport(context, KIND, interval, key)


def put_ids(bucket: Bucket, keys: Keys, key: str, *ids: int) -> None:
    ReportStore(bucket, keys).put_ids(key, np.array(ids, np.uint64))


def known_of(one: DatasetExport, last: Manifest | None, work: Path) -> dict[DatasetType, list[int]]:
    found = known_ids(one, last, work)
    return {kind: np.concatenate(list(ids.slices())).tolist() for kind, ids in found.items()}


def test_an_interval_is_compared_with_the_same_hour_of_seven_days(bucket: Bucket, keys: Keys) -> None:
    for back in (0 * DAY, HOUR, 1 * DAY, 2 * DAY, 7 * DAY, 8 * DAY):
        start = FIVE - back
        key = keys.export(KIND, Interval(start, start + HOUR).key)
        ReportStore(bucket, keys).put(key, {"start": start.isoformat()}, "")
    interval = Interval(FIVE, FIVE + HOUR)
    found = earlier_reports(export(bucket, keys, interval, keys.export(KIND, interval.key)))
    assert [report["start"] for report in found] == [(FIVE - n * DAY).isoformat() for n in (1, 2, 7)]


def test_a_snapshot_is_compared_with_the_four_before(bucket: Bucket, keys: Keys) -> None:
    for day, run in enumerate(RUNS):
        end = (FIVE - DAY * (len(RUNS) - 1 - day)).isoformat()
        ReportStore(bucket, keys).put(keys.full(run, KIND), {"end": end, "run": run}, "")
    found = earlier_reports(export(bucket, keys, Interval.until(FIVE), keys.full(RUNS[-1], KIND)))
    assert [report["run"] for report in found] == RUNS[-2:-6:-1]


def test_interactions_of_an_interval_know_the_last_full_and_the_intervals_since(
    bucket: Bucket, keys: Keys, tmp_path: Path
) -> None:
    snapshot = keys.full(RUNS[0], USERS)
    put_ids(bucket, keys, snapshot, 1, 5)
    for hour, ids in ((-1, (7,)), (0, (2,)), (1, (1, 3))):
        start = FIVE + hour * HOUR
        put_ids(bucket, keys, keys.export(USERS, Interval(start, start + HOUR).key), *ids)
    last = Manifest(Interval.until(FIVE), {USERS: ExportedObject(snapshot, 1, 1, "digest", "etag")})
    interval = Interval(FIVE + HOUR, FIVE + 2 * HOUR)
    one = export(bucket, keys, interval, keys.export(KIND, interval.key))
    assert known_of(one, last, tmp_path) == {USERS: [1, 2, 3, 5]}
    assert known_of(one, None, tmp_path) == {}


def test_interactions_of_a_snapshot_know_the_snapshots_of_their_run(
    bucket: Bucket, keys: Keys, tmp_path: Path
) -> None:
    put_ids(bucket, keys, keys.full(RUNS[0], USERS), 1)
    put_ids(bucket, keys, keys.full(RUNS[1], USERS), 2)
    one = export(bucket, keys, Interval.until(FIVE), keys.full(RUNS[1], KIND))
    assert known_of(one, None, tmp_path) == {USERS: [2]}
