"""### Forget

Takes one person out of everything that recsync wrote: suppressed first, so that nothing comes back; then out of every
object on S3, the datasets of Amazon Personalize, and Braze. Ends with a certificate on S3 that names nobody.

Start it with `make forget`, which hands over a `request` and no id. Given as `user`, the id stays in the configuration
of this run; delete the run afterwards.

Waits, without a worker slot, until no other run changes the dataset group, and until exports, recommendations and
deliveries that began before have ended. May be retried and started again at any time.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import TriggerRule, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from airflow_personalize.operators import PersonalizeCreateDataDeletionJobOperator
from recsync.airflow_tasks import task
from recsync.dag_kit import optional_text, programs, stage_dag
from recsync.task_groups import hold
from recsync.task_groups.exclusion import any_at_work, runs_at_work

# What may hold rows of the person in its hands; those that import and train are kept away by the lease.
WRITERS = ("export", "recommend", "push", "maintain")
DAY_SECONDS = 24 * 3600
PARAMS = {
    "request": optional_text("what make forget asked for"),
    "user": optional_text("user_id of the person, where make forget cannot be used"),
}


@task
def suppress(program: str) -> str:
    """Keep the person out of everything from now on; return the name of the erasure."""
    from recsync.forget import request

    params = get_current_context()["params"]
    name: str = params["request"] or request.ask(program, params["user"] or "", in_run_conf=True)
    request.suppress(program, name)
    return name


@task(multiple_outputs=False)
def under_way(program: str) -> list[list[str]]:
    """Name the runs that may have read the person before the suppression; later ones, as of a backfill, do not."""
    return runs_at_work(program, WRITERS)


@task.sensor(mode="reschedule", poke_interval=30, timeout=2 * DAY_SECONDS)
def quiet(runs: list[list[str]]) -> bool:
    """Wait until those runs have ended."""
    return not any_at_work(runs)


@task(multiple_outputs=False)
def objects(program: str, erasure: str) -> dict[str, Any]:
    """Rewrite every object on S3 that names the person."""
    from recsync.forget.sweep import sweep

    return sweep(program, erasure)


@task(multiple_outputs=True)
def deletion(program: str, erasure: str) -> dict[str, Any]:
    """Write the input of the data deletion job; skip while there is no dataset group."""
    from recsync.forget.deletion_job import deletion_job

    job = deletion_job(program, erasure, get_current_context()["run_id"])
    if job is None:
        raise AirflowSkipException(f"{program} has no dataset group in Amazon Personalize.")
    return job


@task(multiple_outputs=False, trigger_rule=TriggerRule.NONE_FAILED)
def braze(program: str, erasure: str) -> dict[str, Any]:
    """Delete the profile, or what recsync wrote to it."""
    from recsync.forget.braze import forget_in_braze

    return forget_in_braze(program, erasure)


@task(trigger_rule=TriggerRule.NONE_FAILED)
def certify(program: str, erasure: str, job_arn: str | None) -> str:
    """Look once more, certify, and delete the request."""
    from recsync.forget import certify as stage

    return stage.certify(program, erasure, job_arn)


for program in programs("forget"):
    with stage_dag(program, "forget", schedule=None, doc_md=__doc__, params=PARAMS):
        erasure = suppress(program.name)
        swept = objects(program.name, erasure)
        job = deletion(program.name, erasure)
        deleted = PersonalizeCreateDataDeletionJobOperator(
            task_id="delete",
            job_name=job["job"],
            dataset_group_arn=job["dataset_group_arn"],
            data_location=job["location"],
            role_arn=job["role_arn"],
            aws_conn_id=program.aws,
        )
        forgotten = braze(program.name, erasure)
        before = under_way(program.name)
        erasure >> before >> hold(program) >> quiet(before) >> swept >> job >> deleted >> forgotten
        forgotten >> certify(program.name, erasure, deleted.output)
