"""### Recommend

The audience of this moment goes into a batch job of the champion; its lists are cut to what may be mailed, joined with
the catalogue, and published. Runs daily and on a new champion; several champions in a row are one run with the newest.
With `personalize.update_by: events` it also runs when newly streamed rows count.
While this DAG is paused, new champions start nothing: the next run of its schedule takes the newest, at once when one
was due meanwhile.

* `preflight` comes first: connections, queries, ids, quotas and permissions, before anything is billed. It reports all
  problems together.
* An input of more than 1 GB or 50 million lines is asked in several jobs, mapped tasks; their output is read as one.
* With `[recsync] list_tasks` above 1, mapped tasks build the lists on as many workers; else one task, in threads.
* Where the program has a filter, the run's own is created, and former ones that nothing uses are deleted.
* Where the program takes its audience from a segment, a batch segment job says first who is likely to want its items.
* What the job did not answer (errors, missing lines) is asked once more in a second job, when that is at least 1 % or
  1,000 of the questions, and at most half. Whoever has no answer then keeps the list that Braze has for a while.
* An experiment assigns people to its arms before any job. Each arm with another model has its own job beside the
  champion's; arms that get popular items or nothing have none.
* Recipes without batch answer through a campaign. It is created for the run and deleted after it, whatever becomes of
  the run, because it is billed while it exists.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow.sdk import TriggerRule, get_current_context

from recsync import settings
from recsync.airflow_tasks import task
from recsync.dag_kit import asset, check_first, programs, schedule, stage_dag, start_once, streamed_row_assets
from recsync.notes import note
from recsync.recommend.tasks import PLAN, audience_segment, build_in_tasks, jobs_of, run_inference


@task(multiple_outputs=False)
def prepare(program: str, segment_job_arn: str | None) -> list[dict[str, Any]]:
    """Read the audience, write the input, and return what each job is asked."""
    from recsync.recommend import prepare

    context = get_current_context()
    run = context["dag_run"]
    plan = prepare.prepare(program, run.run_id, run.run_after, segment_job_arn)
    context["ti"].xcom_push(PLAN, plan)
    return jobs_of(plan)


@task(multiple_outputs=False)
def publish(
    program: str,
    plan: dict[str, Any],
    job_arns: Iterable[str],
    second_job_arns: Iterable[str] | None,
    arm_job_arns: dict[str, Iterable[str] | None],
    is_built: bool,
) -> dict[str, Any]:
    """Publish the lists that may be mailed, and tell push."""
    from recsync.recommend import recommend

    context = get_current_context()
    of_arms = {arm: list(arns or ()) for arm, arns in arm_job_arns.items()}
    manifest = recommend.build_and_publish_lists(
        program, plan, list(job_arns or ()), list(second_job_arns or ()), of_arms, is_built=is_built
    )
    for outlet in context["ti"].task.outlets:
        context["outlet_events"][outlet].extra = manifest
    unanswered = sum(manifest["unanswered"].values())
    held_out = sum(manifest["arms"].get(arm, 0) for arm in manifest["held_out"])
    counts = ((unanswered, "had no answer"), (held_out, "are held out"))
    more = "".join(f", {count:,} {what}" for count, what in counts if count)
    note(f"{manifest['lists']:,} of {manifest['users']:,} people have a list{more}")
    return manifest


for program in programs("recommend", __file__):
    news = [asset(program.model_owner, "champion"), *streamed_row_assets(program)]
    with stage_dag(
        program, "recommend", schedule=schedule(program, "recommend", *news), doc_md=__doc__
    ) as dag:
        prepared = prepare(program.name, audience_segment(program))
        asked = run_inference(program, prepared)
        # Unneeded second jobs and jobs of arms without people are skipped. Programs with a campaign have neither:
        # Airflow cannot skip after a setup task.
        skips = asked.second is not None or asked.arms or program.experiment
        is_campaign = program.personalize.recipe_spec.inference_mode == "campaign"
        rule = TriggerRule.NONE_FAILED if skips and not is_campaign else TriggerRule.ALL_SUCCESS
        published = publish.override(outlets=[asset(program, "recommendations")], trigger_rule=rule)
        in_tasks = settings.list_tasks() > 1
        done = published(program.name, prepared[PLAN], asked.job, asked.second, asked.arms, in_tasks)
        if in_tasks:
            build_in_tasks(program, prepared[PLAN], asked, rule) >> done
        check_first(dag, program)
        start_once(dag, program, "recommend")
