"""### Maintain

Removes what nothing needs any more: objects on S3, and solutions, filters and schemas in Amazon Personalize. What is in
use, needed for a rollback or younger than the program file's `retention` stays. Resources that no program owns are
listed and left alone; campaigns that may be idle are listed with their price.

With `dry_run` nothing is removed; the log and the report say what would be.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, get_current_context

from recsync.airflow_tasks import task
from recsync.books.tasks import book
from recsync.dag_kit import cron_trigger, programs, stage_dag
from recsync.task_groups.exclusion import must_hold

PARAMS = {"dry_run": Param(False, type="boolean", description="Only say what would be removed.")}


def this_run() -> dict[str, Any]:
    """Give what each task of a run needs: the run's key, its time, and whether it only looks."""
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
    """Say whether a recommend run of a program is at work."""
    ti = get_current_context()["ti"]
    return bool(ti.get_dr_count(dag_id=f"{program}_recommend", states=["queued", "running"]))


@task(multiple_outputs=False)
def remove_objects(program: str) -> dict[str, int]:
    """Remove objects that nothing needs any more."""
    from recsync.maintain import run

    return run.keep_objects(program, **this_run())


@task(multiple_outputs=False)
def remove_resources(program: str) -> dict[str, int]:
    """Remove solutions, filters and schemas that nothing needs any more."""
    from recsync.maintain import run

    return run.keep_resources(
        program, **this_run(), hold=lambda: must_hold(program), recommending=is_recommending
    )


@task
def report(program: str) -> str:
    """Keep and log the report."""
    from recsync.maintain import run

    return run.report(program, this_run()["run"])


for program in programs("maintain"):
    schedule = cron_trigger(program.schedules.maintain)
    with stage_dag(program, "maintain", schedule=schedule, doc_md=__doc__, params=PARAMS):
        removed = [remove_objects(program.name), remove_resources(program.name)]
        # What is removed can be booked no more.
        book(program.name) >> removed >> report(program.name)
