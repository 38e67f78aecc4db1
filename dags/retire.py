"""### Retire

Removes the whole program from Braze, Amazon Personalize and S3. Start it by hand, and **pause the program's other DAGs
first**.

* `dry_run` is on unless you turn it off: the task `survey` then logs and returns what would be removed, with names,
  counts and data points, and nothing is touched.
* For the real run, turn `dry_run` off and give the program's name as `confirm`.

The run refuses while another run of the program is queued or running. Then, in this order: the program's attributes are
removed from every Braze user who has them, and its items from its catalog, by a delivery like any other; the dataset
group goes with all it holds; then the schemas that no other dataset uses; last its experiments and its objects on S3.
What another program uses stays: of a program over the data of another one, only its filters and the solutions that no
other program needs go. The owner of shared data cannot be retired before the programs that use it. The suppression
list, the certificates of erasures and the cost ledger stay. An interrupted run may be cleared or started again.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, TriggerRule, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from airflow_personalize.operators.delete import PersonalizeDeleteDatasetGroupOperator
from recsync.airflow_tasks import task
from recsync.dag_kit import optional_text, programs, stage_dag
from recsync.notes import link_to, note
from recsync.push.tasks import BrazeDeliverOperator
from recsync.stages import STAGES
from recsync.task_groups.lock import acquire_lock

PARAMS = {
    "dry_run": Param(True, type="boolean", description="Only report what would be removed."),
    "confirm": optional_text("The program's name once more, for a run that removes."),
}


def refuse_while_running(program: str) -> None:
    """Raise an error while another run of the program is queued or running."""
    from recsync.errors import FatalError

    ti = get_current_context()["ti"]
    states = ["queued", "running"]
    others = (f"{program}_{stage.name}" for stage in STAGES if stage.name != "retire")
    if busy := [dag_id for dag_id in others if ti.get_dr_count(dag_id=dag_id, states=states)]:
        raise FatalError(
            f"Runs of {', '.join(busy)} are under way. Pause the DAGs of {program}, "
            "let the runs end, and start the retirement again."
        )


@task(multiple_outputs=True)
def survey(program: str) -> dict[str, Any]:
    """Report what would be removed, and what stays because others use it."""
    from recsync import retire

    refuse_while_running(program)
    return retire.survey(program)


@task.short_circuit(ignore_downstream_trigger_rules=True)
def confirm(program: str) -> bool:
    """Go on only when the run is meant to remove something."""
    from recsync.errors import FatalError

    params = get_current_context()["params"]
    if params["dry_run"]:
        note("dry run: nothing was removed")
        return False
    if params["confirm"] != program:
        raise FatalError(f"Nothing was removed: give {program} as confirm, or turn dry_run on.")
    return True


@task(multiple_outputs=True, has_page=True)
def plan_removal(program: str) -> dict[str, Any]:
    """Plan the delivery that removes the attributes from all users."""
    from recsync import retire
    from recsync.program.names import run_key

    refuse_while_running(program)
    run = get_current_context()["dag_run"]
    key = run_key(run.run_id, run.run_after.isoformat())
    planned = retire.plan_removal(program, dag_run=run.run_id, run=key, created_at=run.run_after)
    link_to(f"/deliveries/{program}/{planned['delivery']}")
    return planned


@task
def check_removed(program: str, found: dict[str, Any]) -> str:
    """Check that no user has an attribute of the program; skip when there is no dataset group."""
    from recsync import retire

    retire.check_removed(program)
    if found["dataset_group_arn"] is None:
        raise AirflowSkipException(f"{program} has no dataset group of its own in Amazon Personalize.")
    return str(found["dataset_group_arn"])


@task(trigger_rule=TriggerRule.NONE_FAILED)
def remove_schemas(program: str) -> list[str]:
    """Delete the schemas that no dataset uses any more, or what only it has in another program's dataset group."""
    from recsync import retire

    return retire.remove_schemas(program)


@task
def remove_objects(program: str) -> int:
    """Delete the objects on S3."""
    from recsync import retire

    refuse_while_running(program)
    count = retire.remove_objects(program)
    note(f"{program} is retired: {count:,} objects removed. Delete its program file and its SQL now")
    return count


for program in programs("retire", __file__):
    with stage_dag(program, "retire", schedule=None, doc_md=__doc__, params=PARAMS):
        found = survey(program.name)
        planned = plan_removal(program.name)
        delivered = BrazeDeliverOperator(
            task_id="deliver", program=program.name, delivery=planned["delivery"]
        )
        group = check_removed(program.name, found)
        deleted = PersonalizeDeleteDatasetGroupOperator(
            task_id="delete_dataset_group",
            dataset_group_arn=group,
            cascade=True,
            aws_conn_id=program.aws,
        )
        found >> confirm(program.name) >> acquire_lock(program) >> planned >> delivered >> group >> deleted
        deleted >> remove_schemas(program.name) >> remove_objects(program.name)
