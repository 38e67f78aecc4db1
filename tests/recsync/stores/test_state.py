from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from recsync.core.intervals import Interval
from recsync.core.keys import Keys
from recsync.core.program import DatasetType
from recsync.errors import RetriableError
from recsync.stores.bucket import Bucket
from recsync.stores.champion import Champion, ChampionStore
from recsync.stores.exports import ExportedObject, Exports, Manifest
from recsync.stores.imports import ImportState

FIVE = datetime(2026, 11, 22, 5, tzinfo=UTC)
KIND = DatasetType.INTERACTIONS


def publish(bucket: Bucket, keys: Keys, hour: int, body: bytes, rows: int) -> Manifest:
    interval = Interval(FIVE + timedelta(hours=hour), FIVE + timedelta(hours=hour + 1))
    key = keys.export(KIND, interval.key)
    exported = ExportedObject(key, rows, len(body), body.decode(), bucket.put(key, body))
    manifest = Manifest(interval, {KIND: exported})
    Exports(bucket, keys).publish_interval(manifest)
    return manifest


def test_intervals_are_read_from_a_point_in_time_and_oldest_first(bucket: Bucket, keys: Keys) -> None:
    published = [publish(bucket, keys, hour, b"x", 1) for hour in (2, 0, 1)]
    found = Exports(bucket, keys).intervals_since(FIVE + timedelta(hours=1))
    assert found == [published[2], published[0]]


def test_an_object_newer_than_its_manifest_is_never_read(bucket: Bucket, keys: Keys) -> None:
    publish(bucket, keys, 0, b"x", 1)
    bucket.put(keys.export(KIND, "2026-11-22T0500Z"), b"half of a rerun")
    with pytest.raises(RetriableError, match="2026-11-22T0500Z is under way or died"):
        Exports(bucket, keys).intervals_since(FIVE)


def test_pending_is_what_was_not_imported_with_these_bytes(bucket: Bucket, keys: Keys) -> None:
    state = ImportState(bucket, keys)
    assert state.read() is None
    state.record_full(FIVE)
    first, empty = publish(bucket, keys, 0, b"x", 1), publish(bucket, keys, 1, b"", 0)
    read = state.read()
    assert read is not None
    assert read.pending([first, empty]) == [first]
    state.record_intervals([first])
    rerun = publish(bucket, keys, 0, b"late rows too", 2)
    read = state.read()
    assert read is not None
    assert read.pending([first, empty]) == []
    assert read.pending([rerun]) == [rerun]
    state.record_full(FIVE + timedelta(hours=1))
    read = state.read()
    assert read is not None
    assert read.intervals == {}


def test_promotions_are_kept_and_repeating_one_changes_nothing(bucket: Bucket, keys: Keys) -> None:
    store = ChampionStore(bucket, keys)
    assert store.read() is None
    first = Champion("arn:1", "FULL", "2026", "run", {"coverage": 1.0}, None)
    second = replace(first, solution_version_arn="arn:2", training_mode="UPDATE")
    for champion in (first, second, second):
        store.promote(champion)
    assert store.history() == [first, second]
    assert store.read() == second
