"""The inference tasks of a recommend run: a batch inference job, a batch segment job, or a temporary campaign."""

from __future__ import annotations

from typing import Any, TypeAlias

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from airflow_personalize.operators.delete import PersonalizeDeleteCampaignOperator
from airflow_personalize.operators.inference import PersonalizeCreateBatchSegmentJobOperator
from airflow_personalize.operators.jobs import PersonalizeCreateBatchInferenceJobOperator
from airflow_personalize.operators.resources import (
    PersonalizeCreateCampaignOperator,
    PersonalizeCreateFilterOperator,
)
from recsync.airflow_tasks import task
from recsync.program import Program

# A reference to a task's result while the DAG is parsed, the result itself when a task runs.
Output: TypeAlias = Any

PREPARED = "{{ ti.xcom_pull(task_ids='prepare')['%s'] }}"
AGAIN = "{{ ti.xcom_pull(task_ids='ask_again')['%s'] }}"
SEGMENT = "{{ ti.xcom_pull(task_ids='prepare_segment')['%s'] }}"
FILTER = "{{ ti.xcom_pull(task_ids='retire_filters')['%s'] }}"
# A campaign that is still being created cannot be deleted. Creating takes up to an hour, and may go on as long again
# after its task gave up; with delays of at most ten minutes these retries outlast that.
_DELETE_RETRIES = 12


def audience_segment(program: Program) -> Output:
    """Run the segment job that finds the users most likely to want the items of ``audience.segment``.

    :returns: the job's ARN; None when the program mails the whole of ``audience.sql``.
    """
    segment = program.audience.segment
    if segment is None:
        return None
    job = PersonalizeCreateBatchSegmentJobOperator(
        task_id="batch_segment",
        num_results=segment.users_per_item,
        aws_conn_id=program.aws,
        **_job_arguments(SEGMENT),
    )
    prepare_segment(program.name) >> job
    return job.output


def run_inference(program: Program, prepared: Output) -> tuple[Output, Output]:
    """Run inference with the champion, and a second job for the questions that a batch job did not answer.

    :returns: the ARN of the job or campaign, and that of the second job, or None without one.
    """
    mode, filter_arn = program.personalize.recipe_spec.inference_mode, _filter(program, prepared)
    if mode == "campaign":
        return _campaign(program, prepared, filter_arn), None

    def batch(suffix: str, task_result: str) -> Any:
        common: dict[str, Any] = {
            "num_results": program.personalize.results,
            "filter_arn": filter_arn,
            "aws_conn_id": program.aws,
            **_job_arguments(task_result),
        }
        if mode == "segment":
            return PersonalizeCreateBatchSegmentJobOperator(task_id=f"batch_segment{suffix}", **common)
        return PersonalizeCreateBatchInferenceJobOperator(
            task_id=f"batch_inference{suffix}", batch_inference_job_config=prepared["config"], **common
        )

    job = batch("", PREPARED)
    prepared >> job
    if not program.recommendations.ask_again:
        return job.output, None
    again: Output = ask_again(program.name, prepared, job.output)
    second = batch("_again", AGAIN)
    again >> second
    return job.output, second.output


def _filter(program: Program, prepared: Output) -> Output:
    """Delete former filters and create the run's.

    :returns: its ARN; None when the program has no filter.
    """
    if program.filters.recommend is None:
        return None
    room: Output = retire_filters(program.name, prepared)
    created = PersonalizeCreateFilterOperator(
        task_id="filter",
        filter_name=FILTER % "name",
        filter_expression=FILTER % "expression",
        dataset_group_arn=FILTER % "dataset_group_arn",
        aws_conn_id=program.aws,
    )
    room >> created
    return created.output


def _job_arguments(task_result: str) -> dict[str, Any]:
    return {
        "job_name": task_result % "job",
        "solution_version_arn": task_result % "solution_version_arn",
        "input_path": task_result % "input",
        "output_path": task_result % "output",
        "role_arn": task_result % "role_arn",
    }


def _campaign(program: Program, prepared: Output, filter_arn: Output) -> Output:
    settings = program.personalize.campaign
    campaign_arn = PREPARED % "campaign_arn"
    # A campaign that an earlier run could not delete may serve an earlier champion.
    former = PersonalizeDeleteCampaignOperator(
        task_id="delete_former_campaign", campaign_arn=campaign_arn, aws_conn_id=program.aws
    )
    campaign = PersonalizeCreateCampaignOperator(
        task_id="campaign",
        campaign_name=PREPARED % "campaign",
        solution_version_arn=PREPARED % "solution_version_arn",
        min_provisioned_tps=settings.min_provisioned_tps,
        aws_conn_id=program.aws,
    )
    campaign_ready: Output = campaign.output
    asked: Output = ask(program.name, prepared, campaign_ready, filter_arn)
    delete = PersonalizeDeleteCampaignOperator(
        task_id="delete_campaign",
        campaign_arn=campaign_arn,
        retries=_DELETE_RETRIES,
        aws_conn_id=program.aws,
    )
    prepared >> former >> campaign
    # Delete it whenever it may exist: also when it never becomes ready, or inference fails.
    asked >> delete.as_teardown(setups=[prepared.operator, campaign], on_failure_fail_dagrun=True)
    return asked


@task(multiple_outputs=True)
def prepare_segment(program: str) -> dict[str, Any]:
    """Write the input of the segment job that limits the audience."""
    from recsync.recommend import recommend

    run = get_current_context()["dag_run"]
    return recommend.prepare_segment(program, run.run_id, run.run_after)


@task(multiple_outputs=True)
def retire_filters(program: str, prepared: dict[str, Any]) -> dict[str, str]:
    """Delete former filters of the program, and return the run's own."""
    from recsync.recommend import filters

    return filters.make_room(program, prepared)


@task(multiple_outputs=True)
def ask_again(program: str, prepared: dict[str, Any], job_arn: str) -> dict[str, Any]:
    """Write the input of a second job for the questions without an answer; skip when it is not worth its price."""
    from recsync.recommend import job_inputs

    again = job_inputs.ask_again(program, prepared, job_arn)
    if again is None:
        raise AirflowSkipException("No second job; the log says why.")
    return again


@task
def ask(program: str, prepared: dict[str, Any], campaign_arn: str, filter_arn: str | None) -> str:
    """Get recommendations from the campaign for every user; a retry asks only for the missing ones."""
    from recsync.recommend import campaign_inference

    return campaign_inference.ask(program, {**prepared, "filter_arn": filter_arn}, campaign_arn)
