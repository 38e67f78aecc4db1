from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from recsync.errors import FatalError, RetriableError
from recsync.evaluation.champion_store import Champion, ChampionStore
from recsync.export.store import ExportedObject, Exports, Manifest
from recsync.imports.dataset_state import Held, LastFull, Late, Taken
from recsync.imports.store import ImportState
from recsync.program import DatasetType
from recsync.program.intervals import Interval
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

FIVE = datetime(2026, 11, 22, 5, tzinfo=UTC)
KIND, ITEMS = DatasetType.INTERACTIONS, DatasetType.ITEMS
LATE = Late(None, 2)


def write(bucket: Bucket, keys: Keys, hour: int, body: bytes, kind: DatasetType = KIND) -> Manifest:
    interval = Interval(FIVE + timedelta(hours=hour), FIVE + timedelta(hours=hour + 1))
    key = keys.export(kind, interval.key)
    exported = ExportedObject(key, body.count(b"\n"), len(body), body.decode(), bucket.put(key, body))
    return Manifest(interval, {kind: exported})


def publish(bucket: Bucket, keys: Keys, hour: int, body: bytes) -> Manifest:
    return Exports(bucket, keys).publish_interval(write(bucket, keys, hour, body))


def test_intervals_are_read_from_a_point_in_time_and_oldest_first(bucket: Bucket, keys: Keys) -> None:
    published = [publish(bucket, keys, hour, b"x\n") for hour in (2, 0, 1)]
    exports = Exports(bucket, keys)
    assert exports.intervals_since(FIVE + timedelta(hours=1)) == [published[2], published[0]]
    assert exports.interval("2026-11-22T0700Z") == published[0]
    assert exports.interval("2026-11-22T0900Z") is None


def test_a_manifest_of_the_former_format_is_read(bucket: Bucket, keys: Keys) -> None:
    manifest = publish(bucket, keys, 0, b"x\n")
    document = manifest.to_json()
    del document["objects"]["INTERACTIONS"]["quarantined"]
    assert Manifest.from_json(document) == manifest


def test_an_object_newer_than_its_manifest_is_never_read(bucket: Bucket, keys: Keys) -> None:
    manifest = publish(bucket, keys, 0, b"x\n")
    exports, exported = Exports(bucket, keys), manifest.objects[KIND]
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
    Exports(bucket, keys).copy(exported, "copy")
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
    exports = Exports(bucket, keys)
    early, late = write(bucket, keys, 0, b"x\n"), write(bucket, keys, 0, b"x\ny\n")
    assert exports.publish_interval(late) == late
    assert exports.publish_interval(early) == late, "what was written over is not published"
    assert exports.interval(early.interval.key) == late
    exports.verify([late])


def test_two_runs_that_each_wrote_one_dataset_last_publish_both(bucket: Bucket, keys: Keys) -> None:
    def both(one: Manifest, other: Manifest) -> Manifest:
        return Manifest(one.interval, one.objects | other.objects)

    exports = Exports(bucket, keys)
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
    exports = Exports(bucket, keys)
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
    exports = Exports(bucket, keys)
    assert exports.newest_full() is None
    manifest = write(bucket, keys, 0, b"x\n")
    exports.publish_full("20261101T030000-ff", manifest)
    newer = replace(manifest, interval=Interval.until(FIVE))
    exports.publish_full("20261108T030000-00", newer)
    bucket.put(keys.full("20261115T030000-00", KIND), b"not published yet")
    assert exports.newest_full() == newer
    assert exports.full("20261101T030000-ff") == manifest


def test_pending_is_what_was_not_imported_with_these_bytes(bucket: Bucket, keys: Keys) -> None:
    state = ImportState(bucket, keys)
    assert state.read() == Held()
    last = LastFull(FIVE, "digest", "job", alone=True, snapshot="full.csv", etag="etag")
    state.change(lambda held: held.after_full(KIND, last, known={}, objects={}))
    first, empty = publish(bucket, keys, 0, b"x\n"), publish(bucket, keys, 1, b"")
    assert state.read().pending(KIND, [empty, first], LATE) == [first]
    taken = Taken(first.interval.key, first.objects[KIND].digest, "import.csv")
    state.change(lambda held: held.after_increment(KIND, [taken]))
    rerun = publish(bucket, keys, 0, b"late rows\ntoo\n")
    assert state.read().pending(KIND, [first, empty], LATE) == []
    assert state.read().pending(KIND, [rerun], LATE) == [rerun]
    assert state.read().objects == {first.interval.key: ("import.csv",)}
    state.change(lambda held: held.after_full(KIND, last, known={}, objects={}))
    assert (state.read().intervals, state.read().objects) == ({}, {})


def test_a_change_that_another_run_made_meanwhile_is_kept(bucket: Bucket, keys: Keys) -> None:
    state = ImportState(bucket, keys)
    calls: list[str] = []

    def note(kind: DatasetType) -> None:
        last = LastFull(FIVE, kind.value)
        state.change(lambda held: held.after_full(kind, last, known={}, objects={}))

    def change(held: Held) -> Held:
        if not calls:
            note(ITEMS)
        calls.append("tried")
        return held.after_full(KIND, LastFull(FIVE), known={}, objects={})

    state.change(change)
    assert calls == ["tried", "tried"]
    assert set(state.read().full) == {KIND, ITEMS}


def test_a_state_of_the_former_format_is_read_with_the_objects_it_did_not_name(
    bucket: Bucket, keys: Keys
) -> None:
    document = {"full_until": FIVE.isoformat(), "intervals": {"2026-11-22T0600Z": {"INTERACTIONS": "x\n"}}}
    bucket.put_json(keys.state("imports.json"), document)
    imported = [keys.import_object(run, KIND, "2026-11-22T0600Z") for run in ("run1", "run2")]
    other = [
        keys.import_object("run1", KIND, "2026-11-22T0500Z"),
        keys.import_object("run1", ITEMS, "2026-11-22T0600Z"),
    ]
    for key in imported + other:
        bucket.put(key, b"x\n")
    held = ImportState(bucket, keys).read()
    assert held.full[KIND] == LastFull(FIVE)
    assert held.objects == {"2026-11-22T0600Z": tuple(imported)}
    before, same, new = (
        write(bucket, keys, -1, b"y\n"),
        write(bucket, keys, 1, b"x\n"),
        write(bucket, keys, 2, b"z\n"),
    )
    # Of an interval before the FULL nothing is known, so it is left to the next.
    assert held.pending(KIND, [before, same, new], LATE) == [new]


def test_a_state_that_is_no_json_says_what_to_do(bucket: Bucket, keys: Keys) -> None:
    bucket.put(keys.state("imports.json"), b"{")
    with pytest.raises(FatalError, match="delete it and run shop_train_full"):
        ImportState(bucket, keys).read()


def test_what_is_held_is_read_back_as_it_was_written() -> None:
    last = LastFull(FIVE, "digest", "job", alone=True, snapshot="full.csv", etag="etag")
    held = Held({KIND: last}, {"a": {"ITEMS": "1"}}, {"a": ("k",)}, {"plan": {"run": "r"}, "jobs": {}})
    assert Held.from_json(json.loads(json.dumps(held.to_json()))) == held


def test_promotions_are_kept_and_repeating_one_changes_nothing(bucket: Bucket, keys: Keys) -> None:
    store = ChampionStore(bucket, keys)
    assert store.read() is None
    first = Champion("arn:1", "FULL", "2026", "run", {"coverage": 1.0}, None)
    second = replace(first, solution_version_arn="arn:2", training_mode="UPDATE")
    for champion in (first, second, second):
        store.promote(champion)
    assert store.history() == [first, second]
    assert store.read() == second
    # A cleared training may have found the audience's version anew.
    third = replace(second, segment_version_arn="arn:segment")
    store.promote(third)
    store.promote(third)
    assert store.history() == [first, second, third]
