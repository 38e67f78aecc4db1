"""### Recommend

The audience of this moment goes into a batch job of the champion; its lists are cut to what may be mailed, joined with
the catalogue, and published. Runs daily and on a new champion; several champions in a row are one run with the newest.
While this DAG is paused, new champions start nothing: the next run of its schedule takes the newest, at once when one
was due meanwhile.

* `preflight` comes first: connections, queries, ids, quotas and permissions, before anything is billed. It reports all
  problems together.
* Where the program has a filter, the run's own is created, and former ones that nothing uses are deleted.
* Where the program takes its audience from a segment, a batch segment job says first who is likely to want its items.
* What the job did not answer (errors, missing lines) is asked once more in a second job, when that is at least 1 % or
  1,000 of the questions, and at most half. Whoever has no answer then keeps the list that Braze has for a while.
* Recipes without batch answer through a campaign. It is created for the run and deleted after it, whatever becomes of
  the run, because it is billed while it exists.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import TriggerRule, get_current_context

from recsync.airflow_tasks import task
from recsync.dag_kit import asset, check_first, programs, schedule, stage_dag, start_once
from recsync.recommend.tasks import audience_segment, run_inference


@task(multiple_outputs=True)
def prepare(program: str, segment_job_arn: str | None) -> dict[str, Any]:
    """Read the audience and write the job's input."""
    from recsync.recommend import recommend

    run = get_current_context()["dag_run"]
    return recommend.prepare(program, run.run_id, run.run_after, segment_job_arn)


@task(multiple_outputs=False)
def publish(
    program: str, prepared: dict[str, Any], batch_inference_job_arn: str, second_job_arn: str | None
) -> dict[str, Any]:
    """Publish the lists that may be mailed, and tell push."""
    from recsync.recommend import recommend

    context = get_current_context()
    manifest = recommend.build_and_publish_lists(program, prepared, batch_inference_job_arn, second_job_arn)
    for outlet in context["ti"].task.outlets:
        context["outlet_events"][outlet].extra = manifest
    return manifest


for program in programs("recommend", __file__):
    on_champion = schedule(program, "recommend", asset(program.model_owner, "champion"))
    with stage_dag(program, "recommend", schedule=on_champion, doc_md=__doc__) as dag:
        prepared = prepare(program.name, audience_segment(program))
        job, second = run_inference(program, prepared)
        # A second job that is not needed is skipped. A campaign has none, as Airflow cannot skip after a setup task.
        rule = TriggerRule.ALL_SUCCESS if second is None else TriggerRule.NONE_FAILED
        published = publish.override(outlets=[asset(program, "recommendations")], trigger_rule=rule)
        published(program.name, prepared, job, second)
        check_first(dag, program)
        start_once(dag, program, "recommend")
