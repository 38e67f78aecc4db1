"""What is pinned, after searches that were kept or not, resets and cleared runs."""

from __future__ import annotations

from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys
from recsync.training.store import TuningOutcome, TuningResult, TuningStore

RECIPE = "aws-sims"


def tuned(number: int, outcome: TuningOutcome = TuningOutcome.PINNED, recipe: str = RECIPE) -> TuningResult:
    return TuningResult(
        outcome, f"2026-01-0{number}", f"run-{number}", recipe, f"arn-{number}", {"bptt": str(number)}
    )


def test_the_last_one_kept_is_pinned_until_a_reset(bucket: Bucket, keys: Keys) -> None:
    store = TuningStore(bucket, keys)
    assert store.pinned(RECIPE) is None
    store.record(tuned(1))
    store.record(tuned(2, TuningOutcome.NOT_KEPT))
    assert store.pinned(RECIPE) == tuned(1)
    assert store.pinned("aws-similar-items") is None
    store.record(tuned(3))
    assert store.pinned(RECIPE) == tuned(3)
    store.record(TuningResult(TuningOutcome.RESET, "2026-01-04", "run-4"))
    assert store.pinned(RECIPE) is None
    store.record(tuned(3))
    assert store.pinned(RECIPE) is None, "a cleared run does not bring back what was forgotten"
    assert [entry.run_id for entry in store.history()] == ["run-1", "run-2", "run-3", "run-4"]


def test_two_runs_that_end_at_the_same_time_both_count(bucket: Bucket, keys: Keys) -> None:
    store = TuningStore(bucket, keys)
    store.record(tuned(1))
    put_if, raced = Bucket.put_if, []

    class Slow(Bucket):
        def put_if(self, key: str, body: bytes, *, etag: str | None) -> str | None:
            if not raced:
                raced.append(True)
                store.record(tuned(2))
            return put_if(self, key, body, etag=etag)

    TuningStore(Slow(bucket.client, bucket.name), keys).record(tuned(3))
    assert [entry.run_id for entry in store.history()] == ["run-1", "run-2", "run-3"]
