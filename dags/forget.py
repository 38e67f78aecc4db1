"""### Forget

Erases people from everything that recsync wrote. A run takes all requests that are open when it begins: it suppresses
the people first, so that nothing comes back, then erases them from every object on S3, the datasets of Amazon
Personalize, and Braze. It ends with a certificate for each person and one for the run on S3, without ids.

Start it with `make forget`, which queues requests and passes no id. The schedule takes requests that started no run or
whose run failed; without an open request a run ends at once. An id given as `user` stays in the configuration of this
run; delete the run afterwards.

Waits, without a worker slot, until runs that began before have ended. The dataset group is locked only while exported
rows are replaced and the deletion job runs. May be retried and started again at any time.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.python import ShortCircuitOperator
from airflow.sdk import TriggerRule, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from airflow_personalize.operators import PersonalizeCreateDataDeletionJobOperator
from recsync.airflow_tasks import guarded, task
from recsync.dag_kit import optional_text, programs, schedule, stage_dag, start_once
from recsync.notes import note
from recsync.stages import STAGES
from recsync.task_groups.lock import (
    AssertLock,
    acquire_lock,
    any_at_work,
    assert_lock,
    names_over_data,
    release_lock,
    runs_at_work,
)

# Runs that may hold rows of the people; the lock keeps the others away.
WRITERS = [stage.name for stage in STAGES if stage.holds_rows and stage.lock is None]
DAY_SECONDS = 24 * 3600
PARAMS = {
    "request": optional_text("name of a request that must be open; all open ones are taken in any case"),
    "user": optional_text("user_id of the person, where make forget cannot be used"),
}


@task
def suppress(program: str) -> str:
    """Take the open requests and suppress the people from now on; return the name of the batch, or nothing."""
    from recsync.forget import batch, request

    context = get_current_context()
    params, run_id = context["params"], context["run_id"]
    if params["user"]:
        request.request_erasure(program, params["user"], in_run_conf=True)
    name = batch.take_open_requests(program, run_id, wanted=params["request"] or "")
    if name:
        taken = batch.suppress_batch(program, name)
        note(f"{len(taken.requests):,} people are suppressed and will be erased")
    else:
        note("no request is open")
    return name


def is_anybody(batch: str) -> bool:
    """Return whether there are people to erase."""
    return bool(batch)


@task(multiple_outputs=False)
def under_way(program: str) -> list[list[str]]:
    """List the runs that may have read the people before the suppression; later ones do not."""
    return [run for name in names_over_data(program) for run in runs_at_work(name, WRITERS)]


@task.sensor(mode="reschedule", poke_interval=30, timeout=2 * DAY_SECONDS)
def quiet(runs: list[list[str]]) -> bool:
    """Wait until those runs have ended."""
    return not any_at_work(runs)


@task(multiple_outputs=False)
def objects(program: str, batch: str) -> dict[str, Any]:
    """Rewrite every object on S3 that names one of the people; stage cleaned exports beside the originals."""
    from recsync.forget.erase_objects import erase_objects

    found = erase_objects(program, batch)
    note(
        f"{found['read']:,} of {found['looked_at']:,} objects read, {found['rewritten']:,} rewritten",
        of_run=False,
    )
    return found


@task(multiple_outputs=False)
def exports(program: str, batch: str) -> dict[str, Any]:
    """Replace exports by their staged versions, and update the manifests."""
    from recsync.forget.erase_objects import replace_exports

    assert_lock(program)
    return replace_exports(program, batch)


@task(multiple_outputs=True)
def deletion(program: str, batch: str) -> dict[str, Any]:
    """Write the input of the data deletion job; skip while there is no dataset group."""
    from recsync.forget.tasks import deletion_job

    job = deletion_job(program, batch, get_current_context()["run_id"])
    if job is None:
        raise AirflowSkipException(f"{program} has no dataset group in Amazon Personalize.")
    return job


@task(multiple_outputs=False, trigger_rule=TriggerRule.NONE_FAILED)
def last_look(program: str, batch: str) -> dict[str, Any]:
    """Erase what runs from before the suppression wrote meanwhile."""
    from recsync.forget.erase_objects import replace_exports

    assert_lock(program)
    return replace_exports(program, batch, again=True)


@task(multiple_outputs=False, trigger_rule=TriggerRule.NONE_FAILED)
def braze(program: str, batch: str) -> dict[str, Any]:
    """Delete the profiles, or recsync's attributes."""
    from recsync.forget.tasks import forget_in_braze

    return forget_in_braze(program, batch)


@task(trigger_rule=TriggerRule.NONE_FAILED)
def certify(program: str, batch: str, job_arn: str | None) -> str:
    """Write the certificates, and delete the requests."""
    from recsync.forget import tasks as stage

    uri = stage.certify(program, batch, job_arn)
    note("the erasure is complete and certified")
    return uri


for program in programs("forget", __file__):
    with stage_dag(
        program, "forget", schedule=schedule(program, "forget"), doc_md=__doc__, params=PARAMS
    ) as dag:
        batch = suppress(program.name)
        # Do not skip: tasks with the trigger rule none_failed would run after a skipped task.
        anybody = ShortCircuitOperator(
            task_id="anybody", python_callable=guarded(is_anybody), op_kwargs={"batch": batch}
        )
        swept = objects(program.name, batch)
        replaced = exports(program.name, batch)
        job = deletion(program.name, batch)
        deleted = PersonalizeCreateDataDeletionJobOperator(
            task_id="delete",
            job_name=job["job"],
            dataset_group_arn=job["dataset_group_arn"],
            data_location=job["location"],
            role_arn=job["role_arn"],
            aws_conn_id=program.aws,
            pre_execute=AssertLock(program.name),
        )
        looked = last_look(program.name, batch)
        before = under_way(program.name)
        anybody >> before >> quiet(before) >> swept
        swept >> acquire_lock(program) >> replaced >> job >> deleted >> looked >> release_lock(program.name)
        looked >> braze(program.name, batch) >> certify(program.name, batch, deleted.output)
        start_once(dag, program, "forget")
