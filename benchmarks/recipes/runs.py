"""Run each program's DAGs in process, one program after another, against one local stack."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from airflow.utils.db import initdb
from dag_runs import DAGS, serialise, states
from services import Services, started

from recsync.context import StageContext
from recsync.evaluation.store import ChampionStore
from recsync.recommend.store import RecommendationsStore
from warehouse_local.sample import load_sample

STAGES = ("train_full", "recommend", "push")


@dataclass
class Outcome:
    """What came of one program.

    :param failure: the stage and tasks that failed; empty when all went well.
    :param people: in the audience; ``lists``: of them with a list; ``held``: profiles in Braze that hold one.
    """

    program: str
    recipe: str
    failure: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    baseline: dict[str, float] | None = None
    people: int = 0
    lists: int = 0
    held: int = 0
    seconds: float = 0.0


def run_all(programs: Iterable[str], examples: Path, folder: Path) -> Iterator[Outcome]:
    """Yield what came of each program, as soon as it is known."""
    logging.disable(logging.WARNING)
    include = folder / "include"
    # Open until the end: Airflow's loggers keep the stream that they wrote to first.
    with (folder / "airflow.log").open("a") as log, started(folder) as services:
        with redirect_stdout(log), redirect_stderr(log):
            initdb()
        os.environ.update(services.environment())
        load_sample(services.dsn, say=lambda _: None)
        for name in programs:
            # One program at a time: each parse of the DAG files reads every program of the folder.
            shutil.rmtree(include, ignore_errors=True)
            shutil.copytree(examples, include, ignore=shutil.ignore_patterns("*.yaml"))
            shutil.copy(examples / "programs" / f"{name}.yaml", include / "programs" / f"{name}.yaml")
            with redirect_stdout(log), redirect_stderr(log):
                print(f"\n{name}", file=log)
                outcomes = [_run(name, services)]
            yield outcomes[0]


def _run(name: str, services: Services) -> Outcome:
    context, began = StageContext.of(name), time.monotonic()
    outcome = Outcome(name, context.program.personalize.recipe)
    for stage in STAGES:
        dag_run = _test(f"{name}_{stage}", stage)
        if dag_run.state != "success":
            failed = [task for task, state in states(dag_run).items() if state == "failed"]
            outcome.failure = f"{stage}: {', '.join(failed)}"
            break
    outcome.seconds = time.monotonic() - began
    if champion := context.store(ChampionStore).read():
        outcome.metrics, outcome.baseline = champion.metrics, champion.baseline_metrics
    if run := context.store(RecommendationsStore).latest_run():
        manifest = context.store(RecommendationsStore).manifest(run)
        outcome.people, outcome.lists = manifest.users, manifest.lists
    outcome.held = sum(
        bool(profile.get(context.program.braze.attribute)) for profile in services.profiles().values()
    )
    return outcome


def _test(dag_id: str, stage: str) -> Any:
    bag = DagBag(DAGS / f"{stage}.py", bundle_name="testing", bundle_path=DAGS)
    dag = bag.dags[dag_id]
    for task in dag.tasks:
        task.retries = 0
    serialise(dag)
    return dag.test()
