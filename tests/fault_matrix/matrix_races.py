"""What can happen when somebody else delivers at the same time."""

from __future__ import annotations

import time

from matrix_crashes import finish
from matrix_rows import Scenario, Stage
from matrix_tasks import Task

# With eight connections: some thirty calls a second, so that others can begin meanwhile.
_SLOW = {"latency_ms": 250}
# So many people have been written in the midst of a delivery.
_MIDST = 200
_PATIENCE_SECONDS = 60.0


def scenarios() -> list[Scenario]:
    """List them."""
    return [
        Scenario("two schedulers, one delivery", "at once", deliver=two_of_one, settings=_SLOW),
        Scenario("three dag runs, same recommendations", "at once", deliver=dag_runs, settings=_SLOW),
        Scenario("a newer delivery overtakes a stuck one", "1 call", deliver=overtaken),
    ]


def two_of_one(stage: Stage) -> str:
    """Deliver one plan from two processes, the second beginning in the midst of the first."""
    stage.publish(2)
    delivery = stage.plan(2, "run-2")
    first = Task("deliver", stage.kit.name, delivery)
    _await_the_midst(stage)
    ends = [Task("deliver", stage.kit.name, delivery).wait(), first.wait()]
    stage.tries += 2
    if not any(end.result for end in ends):
        stage.missed.append(f"neither ended: {[end.error[:80] for end in ends]}")
    stage.missed += [end.error[:120] for end in ends if not end.result and "TakenOver" not in end.error]
    return delivery


def dag_runs(stage: Stage) -> str:
    """Plan and deliver the same recommendations from two dag runs at once, and from a third in their midst."""
    stage.publish(2)
    planning = [(run, _plan(stage, run)) for run in "ab"]
    names = [_planned(stage, run, task) for run, task in planning]
    delivering = [Task("deliver", stage.kit.name, name) for name in names]
    _await_the_midst(stage)
    last = _planned(stage, "c", _plan(stage, "c"))
    ends = [task.wait() for task in delivering]
    stage.tries += len(ends)
    stage.missed += [end.error[:120] for end in ends if not end.result and "TakenOver" not in end.error]
    finish(stage, last)
    stage.closed += names
    return last


def _await_the_midst(stage: Stage) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if stage.kit.servers.control("GET", "writes", params={"min": 99})["writes"] >= _MIDST:
            return
        time.sleep(0.05)
    stage.missed.append("nobody was written")


def _plan(stage: Stage, run: str) -> Task:
    return Task("plan", stage.kit.name, "2", {"dag_run": f"run-{run}"})


def _planned(stage: Stage, run: str, task: Task) -> str:
    """Name the plan; the plan of somebody who was overtaken while planning is made again, as Airflow would."""
    while (ended := task.wait()).result is None:
        task = _plan(stage, run)
    return str(ended.result["delivery"])


def overtaken(stage: Stage) -> str:
    """Let a delivery's call hang while a newer delivery writes everybody, then be tried again."""
    lists = {who: ["s-1", "s-2", "s-3", "s-4", "s-5"] for who in stage.world.first}
    stage.kit.publish("1b", lists, items=stage.world.items(1))
    stuck = {
        "path": "/users/track",
        "kind": "timeout",
        "seconds": 8,
        "external_ids": [stage.world.changed[40]],
    }
    stage.kit.servers.control("POST", "faults", json=stuck)
    stage.connect(max_objects=75)
    older = Task("deliver", stage.kit.name, stage.plan("1b", "run-1b"))
    stage.connect()
    # By then only the stuck call is left of it.
    if older.ends_within(4):
        stage.missed.append("the older delivery was not held up")
    stage.kit.servers.control("POST", "flush")
    stage.kit.servers.control("DELETE", "writes")
    delivery = stage.push(2)
    ended = older.wait()
    if "TakenOver" not in ended.error:
        stage.missed.append(f"the older delivery ended with {ended.error or 'success'}")
    return delivery
