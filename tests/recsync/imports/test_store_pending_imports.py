from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_personalize.resource import State
from recsync.errors import FatalError, RetriableError
from recsync.imports import store as imports_store
from recsync.imports.dataset_state import DatasetState, LastFull
from recsync.imports.plans import ImportJob, PendingImports, Taken, UpdatePlan
from recsync.imports.store import ImportStore
from recsync.program import DatasetType
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

KIND = DatasetType.INTERACTIONS
STATE = DatasetState({KIND: LastFull(datetime(2026, 11, 22, tzinfo=UTC))})
TAKEN = Taken("2026-11-22T0000Z", "digest", "import.csv")
PLAN = UpdatePlan("run", "", "", {}, {}, {KIND: (TAKEN,)}, {KIND: STATE.version(KIND)})
OTHER = replace(PLAN, run="other", taken={KIND: ()})
PENDING = PendingImports(PLAN, {KIND: ImportJob("job", "dataset")}, {}, {})


@pytest.fixture
def store(bucket: Bucket, keys: Keys) -> ImportStore:
    store = ImportStore(bucket, keys)
    store.change(lambda _: STATE)
    return store


@pytest.fixture
def context(store: ImportStore) -> Any:
    return SimpleNamespace(store=lambda _: store)


def found(monkeypatch: pytest.MonkeyPatch, state: State | None) -> None:
    monkeypatch.setattr(imports_store, "import_state", lambda *_: state)


def test_the_rows_of_an_active_job_count_as_imported_whatever_became_of_its_run(
    context: Any, store: ImportStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    imports_store.register(context, PENDING)
    found(monkeypatch, State.READY)
    assert imports_store.reconcile(context) == []
    assert store.read() == replace(STATE.after_increment(KIND, [TAKEN]), update_run="run")
    assert imports_store.is_imported(context, PLAN)
    imports_store.mark_done(context, PLAN)


def test_the_rows_of_a_job_that_failed_are_imported_by_the_next_run(
    context: Any, store: ImportStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    imports_store.register(context, PENDING)
    found(monkeypatch, None)
    assert imports_store.reconcile(context) == []
    assert store.read() == STATE
    assert not imports_store.is_imported(context, PLAN)
    with pytest.raises(FatalError, match="counted them as failed"):
        imports_store.mark_done(context, PLAN)


def test_a_running_job_of_another_run_must_end_first(
    context: Any, store: ImportStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    imports_store.register(context, PENDING)
    found(monkeypatch, State.PENDING)
    imports_store.reconcile_others(context, PLAN)
    with pytest.raises(RetriableError, match=r"job\. It must end first"):
        imports_store.reconcile_others(context, OTHER)
    assert store.read().pending_imports == PENDING


def test_a_plan_that_other_imports_overtook_is_made_anew(context: Any, store: ImportStore) -> None:
    store.change(lambda now: now.after_increment(KIND, [replace(TAKEN, interval="2026-11-22T0100Z")]))
    with pytest.raises(FatalError, match="Other rows were imported since run was planned"):
        imports_store.is_imported(context, PLAN)


def test_a_job_is_created_only_while_it_is_registered(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    imports_store.register(context, PENDING)
    found(monkeypatch, None)
    imports_store.check_registered(context, "dataset", "job")
    with pytest.raises(FatalError, match="before it was there"):
        imports_store.check_registered(context, "dataset", "another")
