"""Published recommendations: visible whole or not at all, the newest first."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsync.errors import FatalError
from recsync.recommend.lists.catalogue import CATALOGUE
from recsync.recommend.lists.list_partition import LISTS
from recsync.recommend.store import RecommendationsManifest, RecommendationsStore
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys


def manifest(run: str) -> RecommendationsManifest:
    return RecommendationsManifest(run, run, "arn", "job", 1, 1, {}, 1, {"personal": 1})


def test_recommendations_are_visible_only_after_their_manifest(
    bucket: Bucket, keys: Keys, tmp_path: Path
) -> None:
    store = RecommendationsStore(bucket, keys)
    assert store.latest_run() is None
    with pytest.raises(FatalError, match="run shop_recommend first"):
        store.manifest("20261122T050000-aa")
    row = {"external_id": "a", "item_ids": ["1"], "tier": "personal", "reason": ""}
    lists = pa.Table.from_pylist([row], schema=LISTS)
    pq.write_table(lists, tmp_path / "lists.parquet")
    catalogue = pa.Table.from_pylist([{"item_id": "1", "fields": "{}"}], schema=CATALOGUE)
    for run in ("20261122T050000-aa", "20261122T060000-bb"):
        store.publish(manifest(run), tmp_path / "lists.parquet", catalogue)
    bucket.put_table(f"{keys.recommendations('20261122T070000-cc')}lists.parquet", lists)
    assert store.latest_run() == "20261122T060000-bb"
    assert store.manifest("20261122T050000-aa") == manifest("20261122T050000-aa")
    store.download_lists("20261122T050000-aa", tmp_path / "again.parquet")
    assert pq.read_table(tmp_path / "again.parquet") == lists
    assert store.catalogue("20261122T050000-aa") == catalogue


def test_runs_published_by_hand_sort_among_the_others_by_their_time(bucket: Bucket, keys: Keys) -> None:
    store = RecommendationsStore(bucket, keys)
    for run in ("20261122T050000-aa", "push-20261122T060000-bb"):
        bucket.put_json(keys.recommendations_manifest(run), {})
    assert store.latest_run() == "push-20261122T060000-bb"
    bucket.put_json(keys.recommendations_manifest("20261122T070000-cc"), {})
    assert store.latest_run() == "20261122T070000-cc"


def test_what_is_missing_of_a_published_run_is_named(bucket: Bucket, keys: Keys, tmp_path: Path) -> None:
    store = RecommendationsStore(bucket, keys)
    with pytest.raises(FatalError, match=r"lists\.parquet is missing although"):
        store.download_lists("20261122T050000-aa", tmp_path / "lists.parquet")
    with pytest.raises(FatalError, match=r"catalogue\.parquet is missing although"):
        store.catalogue("20261122T050000-aa")
