"""Published exports: manifests, reruns, races of two runs, snapshots."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from recsync.cron import Cron
from recsync.errors import RetriableError
from recsync.export.manifest import ExportedObject, Manifest
from recsync.export.store import ExportStore
from recsync.imports.dataset_state import Late
from recsync.program import DatasetType
from recsync.program.intervals import Interval
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

FIVE = datetime(2026, 11, 22, 5, tzinfo=UTC)
KIND, ITEMS = DatasetType.INTERACTIONS, DatasetType.ITEMS
LATE = Late(Cron(), 2)


def write(bucket: Bucket, keys: Keys, hour: int, body: bytes, kind: DatasetType = KIND) -> Manifest:
    interval = Interval(FIVE + timedelta(hours=hour), FIVE + timedelta(hours=hour + 1))
    key = keys.export(kind, interval.key)
    exported = ExportedObject(key, body.count(b"\n"), len(body), body.decode(), bucket.put(key, body))
    return Manifest(interval, {kind: exported})


def publish(bucket: Bucket, keys: Keys, hour: int, body: bytes) -> Manifest:
    return ExportStore(bucket, keys).publish_interval(write(bucket, keys, hour, body))


def test_intervals_are_read_from_a_point_in_time_and_oldest_first(bucket: Bucket, keys: Keys) -> None:
    published = [publish(bucket, keys, hour, b"x\n") for hour in (2, 0, 1)]
    exports = ExportStore(bucket, keys)
    assert exports.intervals_since(FIVE + timedelta(hours=1)) == [published[2], published[0]]
    assert exports.interval("2026-11-22T0700Z") == published[0]
    assert exports.interval("2026-11-22T0900Z") is None


def test_an_object_newer_than_its_manifest_is_never_read(bucket: Bucket, keys: Keys) -> None:
    manifest = publish(bucket, keys, 0, b"x\n")
    exports, exported = ExportStore(bucket, keys), manifest.objects[KIND]
    exports.verify([manifest])
    assert b"".join(exports.blocks(exported.key, exported.etag)) == b"x\n"
    bucket.put(exported.key, b"half of a rerun")
    with pytest.raises(RetriableError, match="2026-11-22T0500Z is under way or died"):
        exports.verify([manifest])
    with pytest.raises(RetriableError, match="changed by somebody else"):
        list(exports.blocks(exported.key, exported.etag))


def test_a_copy_is_made_only_of_what_is_published(bucket: Bucket, keys: Keys) -> None:
    exported = write(bucket, keys, 0, b"x\n").objects[KIND]
    sent: list[str] = []
    # The stand-in for S3 does not know this condition; S3 answers 412 when it does not hold.
    bucket.client.meta.events.register(
        "before-call.s3.CopyObject",
        lambda params, **_: sent.append(params["headers"]["x-amz-copy-source-if-match"]),
    )
    ExportStore(bucket, keys).copy(exported, "copy")
    assert sent == [exported.etag]
    assert bucket.get("copy") == b"x\n"


def test_an_unchanged_manifest_is_not_written_again(bucket: Bucket, keys: Keys) -> None:
    def written() -> datetime:
        key = keys.export_manifest("2026-11-22T0500Z")
        return bucket.client.head_object(Bucket=bucket.name, Key=key)["LastModified"]

    publish(bucket, keys, 0, b"x\n")
    first = written()
    # S3 keeps whole seconds; a second write would need luck to go unseen, so the writes are counted too.
    puts: list[str] = []
    bucket.client.meta.events.register(
        "before-call.s3.PutObject", lambda params, **_: puts.append(params["url"])
    )
    publish(bucket, keys, 0, b"x\n")
    assert written() == first
    assert [url.rsplit("/", 1)[-1] for url in puts] == ["2026-11-22T0500Z.csv"]


def test_of_two_runs_the_one_that_wrote_last_is_published_whoever_publishes_last(
    bucket: Bucket, keys: Keys
) -> None:
    exports = ExportStore(bucket, keys)
    early, late = write(bucket, keys, 0, b"x\n"), write(bucket, keys, 0, b"x\ny\n")
    assert exports.publish_interval(late) == late
    assert exports.publish_interval(early) == late, "what was written over is not published"
    assert exports.interval(early.interval.key) == late
    exports.verify([late])


def test_two_runs_that_each_wrote_one_dataset_last_publish_both(bucket: Bucket, keys: Keys) -> None:
    def both(one: Manifest, other: Manifest) -> Manifest:
        return Manifest(one.interval, one.objects | other.objects)

    exports = ExportStore(bucket, keys)
    first_items = write(bucket, keys, 0, b"a\n", ITEMS)
    second = both(write(bucket, keys, 0, b"x\n"), write(bucket, keys, 0, b"b\n", ITEMS))
    first = both(write(bucket, keys, 0, b"y\n"), first_items)
    for order in ((first, second), (second, first)):
        for manifest in order:
            exports.publish_interval(manifest)
        published = exports.interval(first.interval.key)
        assert published == Manifest(
            first.interval, {KIND: first.objects[KIND], ITEMS: second.objects[ITEMS]}
        )
        exports.verify([published])
        bucket.delete(keys.export_manifest(first.interval.key))


def test_a_publisher_who_lost_a_race_looks_again(bucket: Bucket, keys: Keys) -> None:
    exports = ExportStore(bucket, keys)
    early = write(bucket, keys, 0, b"x\n")
    late: list[Manifest] = []

    def other_run(**_: Any) -> None:
        """Write and publish between the first one's look and its write."""
        if not late:
            late.append(early)
            late[0] = write(bucket, keys, 0, b"x\ny\n")
            exports.publish_interval(late[0])

    # The first conditional write of the manifest comes after the look at the object.
    bucket.client.meta.events.register(
        "before-call.s3.PutObject",
        lambda params, **_: other_run() if params["url"].endswith(".json") else None,
    )
    assert exports.publish_interval(early) == late[0]
    exports.verify([late[0]])


def test_the_newest_snapshot_is_found(bucket: Bucket, keys: Keys) -> None:
    exports = ExportStore(bucket, keys)
    assert exports.newest_full() is None
    manifest = write(bucket, keys, 0, b"x\n")
    exports.publish_full("20261101T030000-ff", manifest)
    newer = replace(manifest, interval=Interval.until(FIVE))
    exports.publish_full("20261108T030000-00", newer)
    bucket.put(keys.full("20261115T030000-00", KIND), b"not published yet")
    assert exports.newest_full() == newer
    assert exports.full("20261101T030000-ff") == manifest
