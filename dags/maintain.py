"""### Maintain

Removes objects on S3, people of experiments that ended, and solutions, filters and schemas in Amazon Personalize, that
are unused, not needed for a rollback and older than the program file's `retention`. It only lists resources without an
owner, and campaigns that may be idle, with their price.

With `dry_run` nothing is removed; the log and the report show what would be.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, get_current_context

from recsync.airflow_tasks import task
from recsync.dag_kit import programs, schedule, stage_dag, start_once
from recsync.notes import note
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


def removed_or_not() -> str:
    """Return the verb of the run's note, which differs in a dry run."""
    return "would be removed" if get_current_context()["params"]["dry_run"] else "removed"


def is_recommending(program: str) -> bool:
    """Return whether a recommend run of a program is active."""
    ti = get_current_context()["ti"]
    return bool(ti.get_dr_count(dag_id=f"{program}_recommend", states=["queued", "running"]))


@task(has_page=True)
def book(program: str) -> int:
    """Record usage that killed runs did not record, before the objects that show its size are removed."""
    from recsync.context import StageContext
    from recsync.maintain.reconcile_costs import reconcile

    booked = reconcile(StageContext.of(program))
    note(f"{booked:,} uses recorded that runs had not recorded", page=f"/costs/{program}", of_run=booked > 0)
    return booked


@task(multiple_outputs=False)
def remove_objects(program: str) -> dict[str, int]:
    """Remove old, unused objects."""
    from recsync.maintain import run

    found = run.remove_objects(program, **this_run())
    note(f"{found['removed']:,} objects {removed_or_not()}")
    return found


@task(multiple_outputs=False)
def remove_resources(program: str) -> dict[str, int]:
    """Remove old, unused solutions, filters and schemas."""
    from recsync.maintain import run

    found = run.remove_resources(
        program, **this_run(), lock=lambda: assert_lock(program), is_recommending=is_recommending
    )
    note(f"{found['removed']:,} resources {removed_or_not()}")
    return found


@task
def report(program: str) -> str:
    """Write and log the report."""
    from recsync.maintain import run

    uri = run.report(program, this_run()["run"])
    note(f"The report is {uri}", of_run=False)
    return uri


for program in programs("maintain", __file__):
    due = schedule(program, "maintain")
    with stage_dag(program, "maintain", schedule=due, doc_md=__doc__, params=PARAMS) as dag:
        removed = [remove_objects(program.name), remove_resources(program.name)]
        book(program.name) >> removed >> report(program.name)
        start_once(dag, program, "maintain")
