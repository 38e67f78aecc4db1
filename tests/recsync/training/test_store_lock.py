"""One run at a time has a dataset group, and no lock outlives the run that took it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from recsync.errors import RetriableError
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys
from recsync.training.store import Holder, LockStore, assert_lock

UPDATE, FULL = Holder("shop_train_update", "run-1"), Holder("shop_train_full", "run-2")


@pytest.fixture
def context(bucket: Bucket, keys: Keys) -> Any:
    return SimpleNamespace(store=lambda kind: kind(bucket, keys), program=SimpleNamespace(name="shop"))


def everything_runs(_: Holder) -> bool:
    return True


def nothing_runs(_: Holder) -> bool:
    return False


def test_a_run_has_the_lock_until_airflow_is_done_with_it(context: Any) -> None:
    assert context.store(LockStore).acquire(UPDATE, everything_runs) is None
    assert context.store(LockStore).acquire(UPDATE, everything_runs) is None, "a retry has it still"
    holder = context.store(LockStore).acquire(FULL, everything_runs)
    assert holder is not None
    assert holder.same_run(UPDATE)
    assert context.store(LockStore).acquire(FULL, nothing_runs) is None, "what was killed holds nothing"
    assert context.store(LockStore).acquire(FULL, everything_runs) is None


def test_a_run_may_give_the_lock_back_before_its_end_and_gives_nobody_elses(context: Any) -> None:
    store = context.store(LockStore)
    store.acquire(UPDATE, everything_runs)
    store.release(FULL)
    assert store.acquire(FULL, everything_runs) is not None
    store.release(UPDATE)
    assert store.read() is None
    assert store.acquire(FULL, everything_runs) is None
    store.release(UPDATE)
    assert store.acquire(UPDATE, everything_runs).same_run(FULL)


def test_a_cleared_task_begins_nothing_beside_the_run_that_came_after(context: Any) -> None:
    context.store(LockStore).acquire(FULL, everything_runs)
    with pytest.raises(RetriableError, match=r"run run-2 of shop_train_full, since .* Nothing is begun"):
        assert_lock(context, UPDATE, everything_runs)
    assert_lock(context, FULL, everything_runs)
    assert_lock(context, UPDATE, nothing_runs)


def test_of_many_that_come_at_once_one_gets_it(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # S3 checks the condition of a write and writes in one step; Moto in two, between which another thread may write.
    one_step, put_if = threading.Lock(), Bucket.put_if

    def in_one_step(*args: Any, **kwargs: Any) -> str | None:
        with one_step:
            return put_if(*args, **kwargs)

    monkeypatch.setattr(Bucket, "put_if", in_one_step)
    runs = [Holder("shop_train_full", f"run-{n}") for n in range(8)]
    with ThreadPoolExecutor(len(runs)) as threads:
        found = list(threads.map(lambda run: context.store(LockStore).acquire(run, everything_runs), runs))
    winners = [run for run, holder in zip(runs, found, strict=True) if holder is None]
    assert len(winners) == 1
    assert all(holder.same_run(winners[0]) for holder in found if holder)
