"""### Forget

Erases one person from everything that recsync wrote. The person is suppressed first, so that nothing comes back; then
erased from every object on S3, the datasets of Amazon Personalize, and Braze. Ends with a certificate on S3, without
ids.

Start it with `make forget`, which passes a `request` and no id. An id given as `user` stays in the configuration of
this run; delete the run afterwards.

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
from recsync.stages import STAGES
from recsync.task_groups.lock import acquire_lock, any_at_work, names_over_data, runs_at_work

# Runs that may hold rows of the person; the lock keeps the others away.
WRITERS = [stage.name for stage in STAGES if stage.holds_rows and stage.lock is None]
DAY_SECONDS = 24 * 3600
PARAMS = {
    "request": optional_text("name of the request that make forget wrote"),
    "user": optional_text("user_id of the person, where make forget cannot be used"),
}


@task
def suppress(program: str) -> str:
    """Suppress the person from now on; return the name of the erasure."""
    from recsync.forget import request

    params = get_current_context()["params"]
    name: str = params["request"] or request.request_erasure(program, params["user"] or "", in_run_conf=True)
    request.suppress(program, name)
    return name


@task(multiple_outputs=False)
def under_way(program: str) -> list[list[str]]:
    """List the runs that may have read the person before the suppression; later ones do not."""
    return [run for name in names_over_data(program) for run in runs_at_work(name, WRITERS)]


@task.sensor(mode="reschedule", poke_interval=30, timeout=2 * DAY_SECONDS)
def quiet(runs: list[list[str]]) -> bool:
    """Wait until those runs have ended."""
    return not any_at_work(runs)


@task(multiple_outputs=False)
def objects(program: str, erasure: str) -> dict[str, Any]:
    """Rewrite every object on S3 that names the person."""
    from recsync.forget.erase_objects import erase_objects

    return erase_objects(program, erasure)


@task(multiple_outputs=True)
def deletion(program: str, erasure: str) -> dict[str, Any]:
    """Write the input of the data deletion job; skip while there is no dataset group."""
    from recsync.forget.tasks import deletion_job

    job = deletion_job(program, erasure, get_current_context()["run_id"])
    if job is None:
        raise AirflowSkipException(f"{program} has no dataset group in Amazon Personalize.")
    return job


@task(multiple_outputs=False, trigger_rule=TriggerRule.NONE_FAILED)
def braze(program: str, erasure: str) -> dict[str, Any]:
    """Delete the profile, or recsync's attributes."""
    from recsync.forget.tasks import forget_in_braze

    return forget_in_braze(program, erasure)


@task(trigger_rule=TriggerRule.NONE_FAILED)
def certify(program: str, erasure: str, job_arn: str | None) -> str:
    """Look at S3 once more, write the certificate, and delete the request."""
    from recsync.forget import tasks as stage

    return stage.certify(program, erasure, job_arn)


for program in programs("forget", __file__):
    with stage_dag(program, "forget", schedule=None, doc_md=__doc__, params=PARAMS):
        erasure = suppress(program.name)
        erased = objects(program.name, erasure)
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
        erasure >> before >> acquire_lock(program) >> quiet(before) >> erased >> job >> deleted >> forgotten
        forgotten >> certify(program.name, erasure, deleted.output)
