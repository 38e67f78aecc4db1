"""Published recommendations: visible whole or not at all, the newest first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsync.errors import FatalError
from recsync.forget.erasure_rules import Redaction
from recsync.forget.one_object import ObjectVersion, erase_from_object, put_directly
from recsync.forget.people import Identity, People
from recsync.recommend.lists.catalog import CATALOG, positions_in
from recsync.recommend.lists.list_partition import LISTS
from recsync.recommend.store import RecommendationsManifest, RecommendationsStore
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys
from recsync.storage.list_files import list_writer

CATALOGUE = pa.table({"item_id": ["1", "2"], "fields": ["{}", "{}"]}, schema=CATALOG)


def lists_for(catalogue: pa.Table) -> pa.Table:
    rows = [{"external_id": who, "items": [0], "tier": "personal", "reason": ""} for who in ("a", "b")]
    return pa.Table.from_pylist(rows, schema=LISTS.with_metadata(positions_in(catalogue)))


def manifest(run: str) -> RecommendationsManifest:
    return RecommendationsManifest(run, run, "arn", "job", 1, 1, {}, 1, {"personal": 1})


def test_recommendations_are_visible_only_after_their_manifest(
    bucket: Bucket, keys: Keys, tmp_path: Path
) -> None:
    store = RecommendationsStore(bucket, keys)
    assert store.latest_run() is None
    with pytest.raises(FatalError, match="run shop_recommend first"):
        store.manifest("20261122T050000-aa")
    lists = lists_for(CATALOGUE)
    pq.write_table(lists, tmp_path / "lists.parquet")
    for run in ("20261122T050000-aa", "20261122T060000-bb"):
        store.publish(manifest(run), tmp_path / "lists.parquet", CATALOGUE)
    bucket.put_table(f"{keys.recommendations('20261122T070000-cc')}lists.parquet", lists)
    assert store.latest_run() == "20261122T060000-bb"
    assert store.manifest("20261122T050000-aa") == manifest("20261122T050000-aa")
    assert store.download("20261122T050000-aa", tmp_path / "again.parquet") == CATALOGUE
    assert pq.read_table(tmp_path / "again.parquet") == lists


def test_what_the_rules_cost_is_said_in_one_line() -> None:
    costs = {"dropped": {"bought": 1, "mailed": 1200}, "short": {"mailed": 3}, "missed": {"promoted": 2}}
    assert replace(manifest("r"), **costs).rules_text == (
        "The rules left out 1,201 items (mailed 1,200, bought 1); lists that are short (mailed 3); "
        "lists that miss a share (promoted 2)"
    )


def test_runs_published_by_hand_sort_among_the_others_by_their_time(bucket: Bucket, keys: Keys) -> None:
    store = RecommendationsStore(bucket, keys)
    for run in ("20261122T050000-aa", "push-20261122T060000-bb"):
        bucket.put_json(keys.recommendations_manifest(run), {})
    assert store.latest_run() == "push-20261122T060000-bb"
    bucket.put_json(keys.recommendations_manifest("20261122T070000-cc"), {})
    assert store.latest_run() == "20261122T070000-cc"


def test_runs_of_a_period_and_those_that_were_sent_are_told_by_their_names(
    bucket: Bucket, keys: Keys
) -> None:
    store = RecommendationsStore(bucket, keys)
    runs = ["20261121T050000-aa", "push-20261122T045959-bb", "20261122T050000123456-cc", "20261122T060000-dd"]
    for run in [*runs, "retire-20261122T050000-ee"]:
        bucket.put_json(keys.recommendations_manifest(run), {})
    bucket.put(f"{keys.recommendations('20261122T050000-ff')}lists.parquet", b"not published")
    begin, end = datetime(2026, 11, 21, 5, tzinfo=UTC), datetime(2026, 11, 22, 6, tzinfo=UTC)
    assert store.runs_since(begin, before=end) == runs[:3]
    assert store.runs_since(begin + timedelta(seconds=1), before=end) == runs[1:3]
    for delivery in (f"20261122T061000000001-{runs[1]}", f"20261120T061000000001-{runs[0]}"):
        bucket.put_json(keys.ledger_entry(delivery, 0), {})
    bucket.put_json(f"{keys.delivery(f'20261122T061000000002-{runs[2]}')}plan.json", {})
    assert store.sent_runs(begin) == {runs[1]}


def test_what_is_missing_of_a_published_run_is_named(bucket: Bucket, keys: Keys, tmp_path: Path) -> None:
    store = RecommendationsStore(bucket, keys)
    with pytest.raises(FatalError, match=r"lists\.parquet is missing although"):
        store.download("20261122T050000-aa", tmp_path / "lists.parquet")
    bucket.put_table(f"{keys.recommendations('20261122T050000-aa')}lists.parquet", lists_for(CATALOGUE))
    with pytest.raises(FatalError, match=r"catalogue\.parquet is missing although"):
        store.download("20261122T050000-aa", tmp_path / "lists.parquet")


def put(bucket: Bucket, keys: Keys, lists: pa.Table, catalogue: pa.Table) -> None:
    bucket.put_table(f"{keys.recommendations('run')}lists.parquet", lists)
    bucket.put_table(f"{keys.recommendations('run')}catalogue.parquet", catalogue)


@pytest.mark.parametrize("ids", [["2", "1"], ["1"], ["1", "2", "3"]])
def test_positions_in_another_catalogue_are_never_read(
    bucket: Bucket, keys: Keys, tmp_path: Path, ids: list[str]
) -> None:
    other = pa.table({"item_id": ids, "fields": ["{}"] * len(ids)})
    put(bucket, keys, lists_for(other), CATALOGUE)
    with pytest.raises(FatalError, match=r"lists\.parquet was not made for the catalogue beside it"):
        RecommendationsStore(bucket, keys).download("run", tmp_path / "lists.parquet")


def test_lists_of_an_erased_person_still_belong_to_their_catalogue(
    bucket: Bucket, keys: Keys, tmp_path: Path
) -> None:
    put(bucket, keys, lists_for(CATALOGUE), CATALOGUE)
    key = f"{keys.recommendations('run')}lists.parquet"
    found = ObjectVersion(key, bucket.etag(key) or "", 0, Redaction.TABLE)
    result = erase_from_object(
        bucket, found, People({"request": Identity("b", ("b",))}), put_directly(bucket)
    )
    assert result.removed == {"request": 1}
    RecommendationsStore(bucket, keys).download("run", tmp_path / "lists.parquet")
    assert pq.read_table(tmp_path / "lists.parquet")["external_id"].to_pylist() == ["a"]


def test_lists_of_earlier_releases_are_read_as_those_of_today(
    bucket: Bucket, keys: Keys, tmp_path: Path
) -> None:
    # Without the columns that came later: unanswered, and scores.
    rows = [
        {"external_id": "a", "item_ids": ["2", "1"], "tier": "personal", "reason": ""},
        {"external_id": "b", "item_ids": [], "tier": "", "reason": "none"},
        {"external_id": "c", "item_ids": ["2"], "tier": "popular", "reason": ""},
    ]
    earlier = pa.Table.from_pylist(rows)
    put(bucket, keys, earlier, CATALOGUE)
    RecommendationsStore(bucket, keys).download("run", tmp_path / "lists.parquet")
    table = pq.read_table(tmp_path / "lists.parquet")
    assert table.schema.equals(LISTS)
    assert table["items"].to_pylist() == [[1, 0], [], [1]]
    assert table.select(["external_id", "tier", "reason"]).to_pylist() == [
        {name: row[name] for name in ("external_id", "tier", "reason")} for row in rows
    ]
    assert table["put_by"].to_pylist() == [None] * 3
    # Later ones have positions, and neither arms nor what put the items there.
    without_arms = lists_for(CATALOGUE).drop_columns(["arm", "put_by"])
    put(bucket, keys, without_arms, CATALOGUE)
    RecommendationsStore(bucket, keys).download("run", tmp_path / "lists.parquet")
    table = pq.read_table(tmp_path / "lists.parquet")
    assert table.schema.equals(LISTS)
    assert table.drop_columns(["arm", "put_by"]).to_pylist() == without_arms.to_pylist()
    put(bucket, keys, without_arms, CATALOGUE.slice(1))
    with pytest.raises(FatalError, match="was not made for the catalogue beside it"):
        RecommendationsStore(bucket, keys).download("run", tmp_path / "lists.parquet")
    put(bucket, keys, earlier, CATALOGUE.slice(0, 1))
    with pytest.raises(
        FatalError, match="was not made for the catalogue beside it; run shop_recommend again"
    ):
        RecommendationsStore(bucket, keys).download("run", tmp_path / "lists.parquet")


def test_lists_in_several_files_are_read_as_one(bucket: Bucket, keys: Keys, tmp_path: Path) -> None:
    store, whole, run = RecommendationsStore(bucket, keys), lists_for(CATALOGUE), "20261122T050000-aa"
    for number in range(2):
        with list_writer(tmp_path / f"lists-{number:03d}.parquet", whole.schema) as writer:
            writer.write_table(whole.slice(number, 1))
            writer.add_key_value_metadata(positions_in(CATALOGUE))
    store.publish(replace(manifest(run), files=2), tmp_path / "lists.parquet", CATALOGUE)
    assert [key.rsplit("/", 1)[-1] for key in store.lists_keys(run)] == [
        "lists-000.parquet",
        "lists-001.parquet",
    ]
    assert [key.rsplit("/", 1)[-1] for key in store.left_out_keys(run)][1] == "left_out-001.parquet"
    target = tmp_path / "again.parquet"
    assert store.download(run, target) == CATALOGUE
    assert pq.read_table(target)["external_id"].to_pylist() == ["a", "b"]
    assert store.download_rows(run, target) == target
    assert pq.read_table(target)["external_id"].to_pylist() == ["a", "b"]
    assert [path.name for path in store.download_files(run, target)[1]] == [
        "again-000.parquet",
        "again-001.parquet",
    ]
    bucket.delete(store.lists_keys(run)[1])
    assert store.download_rows(run, target) is None
    with pytest.raises(
        FatalError, match=r"lists-001\.parquet is missing although its manifest was published"
    ):
        store.download(run, target)
