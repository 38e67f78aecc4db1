"""### Recommend

The audience of this moment goes into a batch job of the champion; its lists are cut to what may be mailed, joined with
the catalogue, and published. Runs daily and on a new champion; several champions in a row are one run with the newest.

* Where the program has a filter, the run's own is created, and former ones that nothing uses are deleted.
* Where the program takes its audience from a segment, a batch segment job says first who is likely to want its items.
* Recipes without batch answer through a campaign. It is created for the run and deleted after it, whatever becomes of
  the run, because it is billed while it exists.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import AssetOrTimeSchedule, get_current_context

from recsync.airflow_tasks import task
from recsync.stage_dags import asset, cron_trigger, programs, stage_dag
from recsync.task_groups import answers, audience_segment


@task(multiple_outputs=True)
def prepare(program: str, segment_job_arn: str | None) -> dict[str, Any]:
    """Read the audience and write the job's input."""
    from recsync.stages import recommend

    run = get_current_context()["dag_run"]
    return recommend.prepare(program, run.run_id, run.run_after, segment_job_arn)


@task(multiple_outputs=False)
def publish(program: str, prepared: dict[str, Any], batch_inference_job_arn: str) -> dict[str, Any]:
    """Publish the lists that may be mailed, and tell push, with the run as the partition key."""
    from recsync.stages import recommend

    context = get_current_context()
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
        prepared = prepare(program.name, audience_segment(program))
        job = answers(program, prepared)
        publish.override(outlets=[asset(program, "recommendations")])(program.name, prepared, job)
