"""### Maintain

Removes objects on S3, and solutions, filters and schemas in Amazon Personalize, that are unused, not needed for a
rollback and older than the program file's `retention`. Resources that no program owns are only listed, and campaigns
that may be idle are listed with their price.

With `dry_run` nothing is removed; the log and the report show what would be.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, get_current_context

from recsync.airflow_tasks import task
from recsync.dag_kit import programs, schedule, stage_dag, start_once
from recsync.task_groups.lock import assert_lock

PARAMS = {"dry_run": Param(False, type="boolean", description="Only report what would be removed.")}


def this_run() -> dict[str, Any]:
    """Return the arguments of the tasks: the run's key, its time, and whether it removes nothing."""
    from recsync.program.names import run_key

    context = get_current_context()
    run = context["dag_run"]
    created = run.run_after
    return {
        "run": run_key(run.run_id, created.isoformat()),
        "now": created,
        "dry_run": context["params"]["dry_run"],
    }


def is_recommending(program: str) -> bool:
    """Return whether a recommend run of a program is active."""
    ti = get_current_context()["ti"]
    return bool(ti.get_dr_count(dag_id=f"{program}_recommend", states=["queued", "running"]))


@task
def book(program: str) -> int:
    """Record usage that killed runs did not record, before the objects that show its size are removed."""
    from recsync.context import StageContext
    from recsync.maintain.reconcile_costs import reconcile

    return reconcile(StageContext.of(program))


@task(multiple_outputs=False)
def remove_objects(program: str) -> dict[str, int]:
    """Remove old, unused objects."""
    from recsync.maintain import run

    return run.remove_objects(program, **this_run())


@task(multiple_outputs=False)
def remove_resources(program: str) -> dict[str, int]:
    """Remove old, unused solutions, filters and schemas."""
    from recsync.maintain import run

    return run.remove_resources(
        program, **this_run(), lock=lambda: assert_lock(program), is_recommending=is_recommending
    )


@task
def report(program: str) -> str:
    """Write and log the report."""
    from recsync.maintain import run

    return run.report(program, this_run()["run"])


for program in programs("maintain", __file__):
    due = schedule(program, "maintain")
    with stage_dag(program, "maintain", schedule=due, doc_md=__doc__, params=PARAMS) as dag:
        removed = [remove_objects(program.name), remove_resources(program.name)]
        book(program.name) >> removed >> report(program.name)
        start_once(dag, program, "maintain")
