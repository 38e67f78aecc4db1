"""### Recommend

The audience of this moment goes into a batch inference job of the champion; its lists are cut to what may be
mailed, joined with the catalogue, and published. Runs daily and on a new champion; several champions in a
row are one run with the newest.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import AssetOrTimeSchedule, get_current_context, task

from recsync.airflow_errors import fatal_errors_fail_the_task
from recsync.operators.personalize.jobs import PersonalizeCreateBatchInferenceJobOperator
from recsync.stage_dags import asset, cron_trigger, programs, stage_dag

PREPARED = "{{ ti.xcom_pull(task_ids='prepare')['%s'] }}"


@task(multiple_outputs=True)
def prepare(program: str) -> dict[str, Any]:
    """Read the audience and write the job's input."""
    from recsync.stages import recommend

    run = get_current_context()["dag_run"]
    with fatal_errors_fail_the_task():
        return recommend.prepare(program, run.run_id, run.run_after)


@task(multiple_outputs=False)
def publish(program: str, prepared: dict[str, Any], batch_inference_job_arn: str) -> dict[str, Any]:
    """Publish the lists that may be mailed, and tell push, with the run as the partition key."""
    from recsync.stages import recommend

    context = get_current_context()
    with fatal_errors_fail_the_task():
        manifest = recommend.decorate(program, prepared, batch_inference_job_arn)
    for outlet in context["ti"].task.outlets:
        context["outlet_events"][outlet].extra = manifest
        context["outlet_events"][outlet].add_partitions(manifest["run"])
    return manifest


for program in programs("recommend"):
    champion = asset(program, "champion")
    daily = cron_trigger(program.schedules.recommend)
    schedule = AssetOrTimeSchedule(timetable=daily, assets=[champion]) if daily else [champion]
    with stage_dag(program, "recommend", schedule=schedule, doc_md=__doc__):
        prepared = prepare(program.name)
        job = PersonalizeCreateBatchInferenceJobOperator(
            task_id="batch_inference",
            job_name=PREPARED % "job",
            solution_version_arn=PREPARED % "solution_version_arn",
            input_path=PREPARED % "input",
            output_path=PREPARED % "output",
            role_arn=PREPARED % "role_arn",
            num_results=program.personalize.num_results,
            batch_inference_job_config=prepared["config"],
            aws_conn_id=program.aws,
        )
        prepared >> job
        publish.override(outlets=[asset(program, "recommendations")])(program.name, prepared, job.output)
