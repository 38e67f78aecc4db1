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

    def get_task_states(
        self, dag_id: str, task_ids: list[str] | None = None, run_ids: list[str] | None = None
    ) -> dict[str, dict[str, str | None]]:
        return {
            run: {name: state for name, state in tasks.items() if task_ids is None or name in task_ids}
            for run, (_, tasks) in self.runs[dag_id].items()
            if run_ids is None or run in run_ids
        }


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


@pytest.mark.parametrize(
    ("states", "at_work"),
    [
        ({"stream": "running", "wait": None}, True),
        ({"stream": "success", "wait": "deferred"}, False),
        ({"stream": "success", "wait": "success", "announce": "running"}, True),
        ({"judge": "success", "approve": "awaiting_input"}, False),
    ],
)
def test_a_run_that_waits_for_a_person_or_for_events_to_count_blocks_nobody(
    states: dict[str, str | None], at_work: bool
) -> None:
    ti = Ti({"shop_train_update": {"one": ("running", states)}})
    assert lock._at_work(ti, "shop_train_update", ["running"]) is at_work


def test_an_update_lets_the_trainings_of_every_program_over_the_data_go_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lock, "names_over_data", lambda _: ["shop", "because"])

    class Runs(Ti):
        def __init__(self, dag_id: str, running: str, **tasks: str | None) -> None:
            super().__init__({running: {"one": ("running", tasks)}})
            self.dag_id = dag_id

        def get_task_states(self, dag_id: str, **_: Any) -> dict[str, dict[str, str | None]]:
            return super().get_task_states(dag_id)

    update = Runs("shop_train_update", "because_train_full")
    assert lock._priority_run("shop", update) == "a run of because_train_full"
    # An erasure does long work before it takes the lock, and some after it gave it back.
    for tasks, goes_first in [
        ({"hold": None, "release": None}, False),
        ({"hold": "up_for_reschedule", "release": None}, True),
        ({"hold": "success", "release": None}, True),
        ({"hold": "success", "release": "success"}, False),
    ]:
        found = lock._priority_run("because", Runs("because_train_update", "shop_forget", **tasks))
        assert found == ("a run of shop_forget" if goes_first else None)
    assert lock._priority_run("because", Runs("because_train_update", "other_train_full")) is None
    assert lock._priority_run("shop", Runs("shop_train_full", "because_train_full")) is None
