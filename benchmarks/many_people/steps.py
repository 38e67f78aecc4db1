"""The steps of the run; each prints one JSON line with its seconds and its peak memory."""

from __future__ import annotations

import json
import resource
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.many_people.data import MOMENT, NAME, RUN_ID
from recsync.context import StageContext
from recsync.evaluation.store import Champion, ChampionStore
from recsync.push import closing
from recsync.push.ledger import Ledger, Status
from recsync.push.plan import plan as plan_delivery
from recsync.push.store import Deliveries
from recsync.recommend import list_tasks
from recsync.recommend.prepare import prepare
from recsync.recommend.recommend import build_and_publish_lists
from recsync.storage.duck import work_folder

_ARN = "arn:aws:personalize:us-east-1:000000000000:solution/many-user-personalization/1"


def prepared(state: Path, *_: str) -> dict[str, Any]:
    """Read the audience and write the inputs of the jobs."""
    context = StageContext.of(NAME)
    context.store(ChampionStore).promote(Champion(_ARN, "FULL", "2026-11-01", "run", {}))
    plan = prepare(NAME, RUN_ID, datetime.fromisoformat(MOMENT))
    (state / "plan.json").write_text(json.dumps(plan))
    return {"people": plan["users"], "jobs": len(plan["parts"])}


def alone(state: Path, *_: str) -> dict[str, Any]:
    """Build and publish the lists in one task."""
    manifest = build_and_publish_lists(NAME, _plan(state), [])
    return {name: manifest[name] for name in ("users", "lists", "suppressed", "unanswered", "files")}


def divide(state: Path, tasks: str) -> dict[str, Any]:
    """Divide the lists among tasks."""
    return {"tasks": len(list_tasks.divide(NAME, _plan(state), 0, int(tasks)))}


def stage(state: Path, task: str) -> dict[str, Any]:
    """Stage a share of the output."""
    list_tasks.stage(NAME, _plan(state)["run"], int(task))
    return {}


def build(state: Path, task: str) -> dict[str, Any]:
    """Build a share of the lists."""
    list_tasks.build(NAME, _plan(state), int(task))
    return {}


def publish(state: Path, *_: str) -> dict[str, Any]:
    """Publish what the tasks have built."""
    manifest = build_and_publish_lists(NAME, _plan(state), [], is_built=True)
    return {name: manifest[name] for name in ("users", "lists", "suppressed", "unanswered", "files")}


def plan(state: Path, *_: str) -> dict[str, Any]:
    """Plan the delivery."""
    manifest = plan_delivery(NAME, _plan(state)["run"], dag_run="bench")
    (state / "delivery.txt").write_text(manifest.delivery)
    return {"writes": manifest.figures.total_rows, "settled": dict(manifest.figures.settled)}


def accounts(state: Path, *_: str) -> dict[str, Any]:
    """Settle the delivery as if Braze had taken everything, and check that everybody is accounted for."""
    context, delivery = StageContext.of(NAME), (state / "delivery.txt").read_text()
    manifest = context.store(Deliveries).plan(delivery)
    ledger = Ledger(np.full(manifest.figures.total_rows, Status.TAKEN, dtype=np.int8))
    with work_folder() as folder:
        context.store(Deliveries).download(delivery, folder)
        account = closing.settle(context, manifest, ledger, folder)
    return {"outcomes": dict(account.outcomes), "people": sum(account.outcomes.values())}


def _plan(state: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((state / "plan.json").read_text())
    return found


STEPS = {each.__name__: each for each in (prepared, alone, divide, stage, build, publish, plan, accounts)}


def main(name: str, state: str, *arguments: str) -> None:
    """Run one step."""
    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, cpu = time.monotonic(), time.process_time()
    found = STEPS[name](Path(state), *arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = {
        "seconds": round(time.monotonic() - started, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "peak_mb": round(peak / 1024),
        "imports_mb": round(imported / 1024),
    }
    print("RESULT " + json.dumps({**figures, **found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
