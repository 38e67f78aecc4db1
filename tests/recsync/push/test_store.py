from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from recsync.errors import FatalError, RetriableError
from recsync.push.store import LastSent, LastSentState, Newest
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys


@pytest.fixture
def store(bucket: Bucket, keys: Keys) -> LastSent:
    return LastSent(bucket, keys)


def test_before_the_first_delivery_nothing_was_sent(store: LastSent, tmp_path: Path) -> None:
    state, etag = store.read()
    assert (state, etag) == (LastSentState(), None)
    assert store.download(state, tmp_path / "state.parquet") is None


def test_the_document_comes_back_as_it_was_written(store: LastSent) -> None:
    state = LastSentState(3, "a key", "d-1", Newest("run", "2026-11-22"), {"2026-11-21": 1, "2026-11-22": 7})
    etag = store.replace(state, None)
    assert store.read() == (state, etag)


def test_of_two_who_change_it_one_is_told(store: LastSent) -> None:
    store.replace(LastSentState(1), None)
    state, etag = store.read()
    store.replace(replace(state, open_delivery="mine"), etag)
    with pytest.raises(RetriableError, match="Another delivery changed"):
        store.replace(replace(state, open_delivery="theirs"), etag)
    with pytest.raises(RetriableError, match="Another delivery changed"):
        store.replace(LastSentState(open_delivery="first of all"), None)
    assert store.read()[0].open_delivery == "mine"


def test_a_write_whose_answer_was_lost_is_not_somebody_elses(store: LastSent) -> None:
    store.replace(LastSentState(1), None)
    state, etag = store.read()
    mine = replace(state, open_delivery="mine")
    first = store.replace(mine, etag)
    # What botocore does when the connection broke after S3 took it.
    assert store.replace(mine, etag) == first


def test_a_table_is_not_the_state_before_the_document_says_so(store: LastSent, tmp_path: Path) -> None:
    table, target = tmp_path / "table", tmp_path / "target"
    table.write_bytes(b"one")
    newer = store.upload(LastSentState(4), table, "d-1")
    assert newer.generation == 5
    assert store.read()[0] == LastSentState()
    store.replace(newer, None)
    assert store.download(store.read()[0], target) == target
    assert target.read_bytes() == b"one"


def test_two_who_race_do_not_write_the_same_table(store: LastSent, tmp_path: Path) -> None:
    found = []
    for delivery in ("d-1", "d-2"):
        table = tmp_path / delivery
        table.write_text(delivery)
        found.append(store.upload(LastSentState(4), table, delivery))
    for state, delivery in zip(found, ("d-1", "d-2"), strict=True):
        path = store.download(state, tmp_path / "target")
        assert path is not None
        assert path.read_text() == delivery


def test_clean_up_keeps_the_table_in_use_however_many_races_were_lost(
    store: LastSent, bucket: Bucket, tmp_path: Path
) -> None:
    table = tmp_path / "table"
    table.write_bytes(b"in use")
    state = store.upload(LastSentState(4), table, "a-winner")
    etag = store.replace(state, None)
    for delivery in ("lost-1", "lost-2", "lost-3", "lost-4"):
        lost = store.upload(state, table, delivery)
        with pytest.raises(RetriableError):
            store.replace(lost, "of a former document")
    store.replace(replace(state, open_delivery="next"), etag)
    assert bucket.get(state.table) == b"in use"


def test_clean_up_keeps_two_former_tables(
    store: LastSent, bucket: Bucket, keys: Keys, tmp_path: Path
) -> None:
    table = tmp_path / "table"
    table.write_bytes(b"x")
    state, etag = LastSentState(), None
    for number in range(1, 6):
        state = store.upload(state, table, f"d-{number}")
        etag = store.replace(state, etag)
    names = [key.rpartition("/")[2] for key in bucket.keys(keys.state("last_sent/"))]
    assert names == [f"{number:08d}-d-{number}.parquet" for number in (3, 4, 5)]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"surprise": 1}', b"null", b'{"newest": {"x": 1}}'])
def test_a_damaged_document_is_named(store: LastSent, bucket: Bucket, keys: Keys, body: bytes) -> None:
    bucket.put(keys.state("last_sent.json"), body)
    with pytest.raises(FatalError, match=r"last_sent.json is damaged"):
        store.read()
