"""Which runs an erasure waits for."""

from __future__ import annotations

from typing import Any

import pytest

from recsync.task_groups import lock


class Ti:
    """Airflow's answers about runs: dag -> run -> (state of the run, states of its tasks)."""

    def __init__(self, runs: dict[str, dict[str, tuple[str, dict[str, str | None]]]]) -> None:
        self.runs = runs

    def get_dr_count(self, dag_id: str, states: list[str], run_ids: list[str] | None = None) -> int:
        found = self.runs.get(dag_id, {})
        return sum(state in states for run, (state, _) in found.items() if run_ids is None or run in run_ids)

    def get_task_states(self, dag_id: str) -> dict[str, dict[str, str | None]]:
        return {run: tasks for run, (_, tasks) in self.runs[dag_id].items()}


def test_an_erasure_waits_for_the_runs_that_began_before_and_for_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exports: dict[str, Any] = {
        "old": ("success", {"export": "success"}),
        "failed": ("failed", {"export": "failed", "publish": None}),
        "begun": ("running", {"export": "running", "publish": None}),
        "fresh": ("running", {"export": None}),
    }
    ti = Ti({"shop_export": exports, "shop_push": {"asked": ("running", {"approve": "awaiting_input"})}})
    monkeypatch.setattr(lock, "get_current_context", lambda: {"ti": ti})
    runs = lock.runs_at_work("shop", ("export", "recommend", "push"))
    assert runs == [["shop_export", "begun"], ["shop_export", "fresh"], ["shop_push", "asked"]]
    assert lock.any_at_work(runs)

    for run in ("begun", "fresh"):
        exports[run] = ("success", {"export": "success"})
    exports["of the backfill"] = ("running", {"export": "running"})
    ti.runs["shop_push"]["asked"] = ("failed", {"approve": "failed"})
    assert not lock.any_at_work(runs)


def test_an_update_lets_the_trainings_of_every_program_over_the_data_go_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lock, "names_over_data", lambda _: ["shop", "because"])

    class Runs(Ti):
        def __init__(self, dag_id: str, running: str) -> None:
            super().__init__({running: {"one": ("running", {})}})
            self.dag_id = dag_id

        def get_task_states(self, **_: Any) -> dict[str, dict[str, str | None]]:  # type: ignore[override]
            return {}

    update = Runs("shop_train_update", "because_train_full")
    assert lock._priority_run("shop", update) == "a run of because_train_full"
    assert (
        lock._priority_run("because", Runs("because_train_update", "shop_forget")) == "a run of shop_forget"
    )
    assert lock._priority_run("because", Runs("because_train_update", "other_train_full")) is None
    assert lock._priority_run("shop", Runs("shop_train_full", "because_train_full")) is None
