from __future__ import annotations

from dataclasses import replace

from recsync.evaluation.store import Candidate, Champion, ChampionStore, Comparison, PromotionOutcome
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys


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


def test_a_refused_version_is_recorded_once_and_is_no_champion(bucket: Bucket, keys: Keys) -> None:
    store = ChampionStore(bucket, keys)
    refused = Champion("arn:1", "FULL", "2026", "run", {}, outcome=PromotionOutcome.REFUSED)
    store.record(refused)
    store.record(refused)
    store.record(replace(refused, run_id="other"))
    assert [entry.run_id for entry in store.evaluated()] == ["run", "other"]
    assert store.read() is None


def test_a_comparison_keeps_the_keys_of_its_document() -> None:
    comparison = Comparison("run", "2026", "ndcg", "", (Candidate("", "recipe", "arn", {}, {}, ("why",)),))
    document = comparison.to_json()
    assert list(document["contenders"][0])[:2] == ["name", "recipe"]
    assert "candidates" not in document
    assert Comparison.from_json(document) == comparison
