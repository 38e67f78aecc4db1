from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from recsync.cron import Cron
from recsync.errors import FatalError, RetriableError
from recsync.export.manifest import ExportedObject, Manifest
from recsync.imports.dataset_state import DatasetState, LastFull, Late
from recsync.imports.plans import Taken
from recsync.imports.store import Cursor, ImportStore, StreamStore
from recsync.program import DatasetType
from recsync.program.intervals import Interval
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

FIVE = datetime(2026, 11, 22, 5, tzinfo=UTC)
KIND, ITEMS = DatasetType.INTERACTIONS, DatasetType.ITEMS
LATE = Late(Cron(), 2)


def manifest(hour: int, body: bytes) -> Manifest:
    interval = Interval(FIVE + timedelta(hours=hour), FIVE + timedelta(hours=hour + 1))
    return Manifest(
        interval, {KIND: ExportedObject(interval.key, body.count(b"\n"), len(body), body.decode(), "etag")}
    )


def test_pending_is_what_was_not_imported_with_these_bytes(bucket: Bucket, keys: Keys) -> None:
    state = ImportStore(bucket, keys)
    assert state.read() == DatasetState()
    last = LastFull(FIVE, "digest", "job", alone=True, snapshot="full.csv", etag="etag")
    state.change(lambda held: held.after_full(KIND, last, known={}, objects={}))
    first, empty = manifest(0, b"x\n"), manifest(1, b"")
    assert state.read().pending_intervals(KIND, [empty, first], LATE) == [first]
    taken = Taken(first.interval.key, first.objects[KIND].digest, "import.csv")
    state.change(lambda held: held.after_increment(KIND, [taken]))
    rerun = manifest(0, b"late rows\ntoo\n")
    assert state.read().pending_intervals(KIND, [first, empty], LATE) == []
    assert state.read().pending_intervals(KIND, [rerun], LATE) == [rerun]
    assert state.read().objects == {first.interval.key: ("import.csv",)}
    state.change(lambda held: held.after_full(KIND, last, known={}, objects={}))
    assert (state.read().intervals, state.read().objects) == ({}, {})


def test_a_change_that_another_run_made_meanwhile_is_kept(bucket: Bucket, keys: Keys) -> None:
    state = ImportStore(bucket, keys)
    calls: list[str] = []

    def note(kind: DatasetType) -> None:
        last = LastFull(FIVE, kind.value)
        state.change(lambda held: held.after_full(kind, last, known={}, objects={}))

    def change(held: DatasetState) -> DatasetState:
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
    held = ImportStore(bucket, keys).read()
    assert held.full[KIND] == LastFull(FIVE)
    assert held.objects == {"2026-11-22T0600Z": tuple(imported)}
    before, same, new = (
        manifest(-1, b"y\n"),
        manifest(1, b"x\n"),
        manifest(2, b"z\n"),
    )
    # Of an interval before the FULL nothing is known, so it is left to the next.
    assert held.pending_intervals(KIND, [before, same, new], LATE) == [new]


def test_a_state_that_is_no_json_says_what_to_do(bucket: Bucket, keys: Keys) -> None:
    bucket.put(keys.state("imports.json"), b"{")
    with pytest.raises(FatalError, match="delete it and run shop_train_full"):
        ImportStore(bucket, keys).read()


@pytest.fixture
def store(bucket: Bucket, keys: Keys) -> StreamStore:
    return StreamStore(bucket, keys)


def after(cursor: Cursor, rows: int, refused: dict[int, str] | None = None) -> Cursor:
    return cursor.after(rows, sent=5, calls=2, size_bytes=100, refused=refused or {})


def test_another_try_goes_on_where_the_last_one_stopped_and_stops_it(store: StreamStore) -> None:
    first = after(store.take_over("a", "one"), 5, {3: "bad"})
    store.advance(first)
    second = store.take_over("a", "two")
    assert (second.rows, second.sent, second.bytes, second.refused) == (5, 5, 100, {"3": "bad"})
    with pytest.raises(RetriableError, match="Another try"):
        store.advance(after(first, 10))
    store.advance(after(second, 10))
    assert store.take_over("a", "three").calls == 4


def test_another_object_begins_at_its_first_row(store: StreamStore) -> None:
    store.advance(after(store.take_over("a", "one"), 5))
    assert store.take_over("b", "one") == Cursor("b", owner="one")


def test_refused_rows_are_reported_by_object_and_at_most_a_thousand_are_named(
    store: StreamStore, bucket: Bucket, keys: Keys
) -> None:
    report = keys.run_document("imports", "run", "refused")
    store.report("run", "items", "h1", store.take_over("a", "one"))
    assert bucket.get(report) is None
    many = after(Cursor("a"), 2000, dict.fromkeys(range(1, 1501), "bad"))
    for _ in range(2):
        store.report("run", "items", "h1", many)
    store.report("run", "interactions", "h1", after(Cursor("b"), 9, {7: "worse"}))
    found = bucket.get_json(report)
    assert found["interactions/h1"] == {"refused_rows": 1, "reasons": {"7": "worse"}}
    assert found["items/h1"]["refused_rows"] == 1500
    assert len(found["items/h1"]["reasons"]) == 1000
