"""The inference tasks of a recommend run: a batch inference job, a batch segment job, or a temporary campaign."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

from airflow.sdk import TriggerRule, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from airflow_personalize.operators.delete import PersonalizeDeleteCampaignOperator
from airflow_personalize.operators.inference import PersonalizeCreateBatchSegmentJobOperator
from airflow_personalize.operators.jobs import PersonalizeCreateBatchInferenceJobOperator
from airflow_personalize.operators.resources import (
    PersonalizeCreateCampaignOperator,
    PersonalizeCreateFilterOperator,
)
from recsync import settings
from recsync.airflow_tasks import task
from recsync.program import Program
from recsync.recommend.job_parts import JobPart

# A reference to a task's result while the DAG is parsed, the result itself when a task runs.
Output: TypeAlias = Any

PLAN = "plan"
"""XCom key of the plan of a recommend run; the result of its task is what each of the run's jobs is asked."""
PREPARED = "{{ ti.xcom_pull(task_ids='prepare', key='plan')['%s'] }}"
SEGMENT = "{{ ti.xcom_pull(task_ids='prepare_segment')['%s'] }}"
FILTER = "{{ ti.xcom_pull(task_ids='retire_filters')['%s'] }}"
# By inference mode, the end of the name of the job's task.
_KINDS = {"batch": "inference", "segment": "segment"}
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


class Inference(NamedTuple):
    """The ARNs of the jobs of a run, as results of tasks.

    :param job: of the champion's jobs, or of its campaign.
    :param second: of the jobs for what they did not answer; None without one.
    :param arms: of the jobs of each arm with another model.
    """

    job: Output
    second: Output
    arms: dict[str, Output]


def run_inference(program: Program, prepared: Output) -> Inference:
    """Run inference with the champion, and a second job for the questions that a batch job did not answer.

    Each arm of the program's experiment with another model has a separate job. Every task of jobs is mapped: an input
    that one job cannot take is asked in several, as many at once as the account's quota allows.

    :param prepared: of the task ``prepare``.
    """
    mode, plan = program.personalize.recipe_spec.inference_mode, prepared[PLAN]
    filter_arn = _filter(program, plan)
    if mode == "campaign":
        return Inference(_campaign(program, prepared, filter_arn), None, {})
    operator = (
        PersonalizeCreateBatchSegmentJobOperator
        if mode == "segment"
        else PersonalizeCreateBatchInferenceJobOperator
    )

    def batch(task_id: str, jobs: Output) -> Output:
        return (
            operator.partial(
                task_id=task_id,
                num_results=program.personalize.results,
                filter_arn=filter_arn,
                aws_conn_id=program.aws,
                max_active_tis_per_dagrun=settings.batch_jobs_quota(),
            )
            .expand_kwargs(jobs)
            .output
        )

    job = batch(f"batch_{_KINDS[mode]}", prepared)
    arms = {}
    for arm in program.experiment.models if program.experiment else ():
        planned: Output = arm_job.override(task_id=f"ask_arm_{arm}")(plan, arm)
        arms[arm] = batch(f"batch_inference_arm_{arm}", planned)
    if not program.recommendations.ask_again:
        return Inference(job, None, arms)
    again: Output = ask_again(program.name, plan, job)
    return Inference(job, batch(f"batch_{_KINDS[mode]}_again", again), arms)


def jobs_of(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the operator's arguments of each job of a plan; none when its champion is not asked."""
    if not (plan.get("experiment") or {}).get("is_champion_asked", True):
        return []
    # A batch segment job has no such settings.
    config = {"batch_inference_job_config": plan["config"]} if plan["config"] else {}
    return [
        {
            "job_name": part.job,
            "solution_version_arn": plan["solution_version_arn"],
            "input_path": part.input,
            "output_path": part.output,
            "role_arn": plan["role_arn"],
            **config,
        }
        for part in JobPart.all_of(plan)
    ]


def build_in_tasks(program: Program, plan: Output, asked: Inference, trigger_rule: TriggerRule) -> Output:
    """Build the lists in as many mapped tasks as ``[recsync] list_tasks`` says.

    :param trigger_rule: of the first task, which follows the jobs.
    :returns: the tasks that build.
    """
    divided: Output = divide_lists.override(trigger_rule=trigger_rule)(
        program.name, plan, asked.job, asked.second, asked.arms
    )
    staged: Output = stage_lists.partial(program=program.name, plan=plan).expand_kwargs(divided)
    built: Output = build_lists.partial(program=program.name, plan=plan).expand_kwargs(divided)
    staged >> built
    return built


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
    asked: Output = ask(program.name, prepared[PLAN], campaign_ready, filter_arn)
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
    from recsync.recommend import prepare

    run = get_current_context()["dag_run"]
    return prepare.prepare_segment(program, run.run_id, run.run_after)


@task(multiple_outputs=True)
def retire_filters(program: str, prepared: dict[str, Any]) -> dict[str, str]:
    """Delete former filters of the program, and return the run's own."""
    from recsync.recommend import filters

    return filters.make_room(program, prepared)


@task(multiple_outputs=False)
def arm_job(plan: dict[str, Any], arm: str) -> list[dict[str, Any]]:
    """Return the arguments of the jobs of one arm; skip when the arm has no people."""
    planned: dict[str, Any] | None = plan["experiment"]["jobs"].get(arm)
    if planned is None:
        raise AirflowSkipException(f"No one in the audience is in arm {arm}.")
    return jobs_of(planned)


@task(multiple_outputs=False)
def ask_again(program: str, plan: dict[str, Any], job_arns: Iterable[str]) -> list[dict[str, Any]]:
    """Write the input of a second job for the questions without an answer; skip when it is not worth its price."""
    from recsync.recommend import job_outputs

    again = job_outputs.ask_again(program, plan, list(job_arns))
    if again is None:
        raise AirflowSkipException("No second job; the log says why.")
    return jobs_of(again)


@task(multiple_outputs=False)
def divide_lists(
    program: str,
    plan: dict[str, Any],
    job_arns: Iterable[str],
    second_job_arns: Iterable[str] | None,
    arm_job_arns: dict[str, Iterable[str] | None],
) -> list[dict[str, Any]]:
    """Read what all tasks that build lists need, and divide the work among them."""
    from recsync.recommend import list_tasks

    return list_tasks.divide(program, plan, len(list(second_job_arns or ())), settings.list_tasks())


@task
def stage_lists(program: str, plan: dict[str, Any], task: int) -> None:
    """Split a share of the jobs' output by user."""
    from recsync.recommend import list_tasks

    list_tasks.stage(program, plan["run"], task)


@task
def build_lists(program: str, plan: dict[str, Any], task: int) -> None:
    """Build the lists of a share of the users."""
    from recsync.recommend import list_tasks

    list_tasks.build(program, plan, task)


@task(multiple_outputs=False)
def ask(program: str, plan: dict[str, Any], campaign_arn: str, filter_arn: str | None) -> list[str]:
    """Get recommendations from the campaign for every user; a retry asks only for the missing ones."""
    from recsync.recommend import campaign_inference

    return [campaign_inference.ask(program, {**plan, "filter_arn": filter_arn}, campaign_arn)]
