"""Prepare the inference of a recommend run: read the audience, write the inputs of the jobs, and plan them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from recsync import settings
from recsync.context import StageContext
from recsync.costs import budget, estimate, usage
from recsync.errors import FatalError
from recsync.evaluation.store import Champion, ChampionStore
from recsync.program import Program, names
from recsync.program.recipes import RECIPES
from recsync.recommend.arm_jobs import ArmPlan, arms_of, version_of
from recsync.recommend.filters import active_filter
from recsync.recommend.job_inputs import (
    WrittenInputs,
    input_run,
    write_inputs,
    write_segment_of_audience,
)
from recsync.recommend.job_parts import JobPart, WrittenPart
from recsync.recommend.lists.arms import CHAMPION
from recsync.storage.duck import work_folder

log = logging.getLogger(__name__)

# The champion's input when no one in the audience gets the champion; then it has no job.
_NO_INPUT = WrittenPart("", "", 0)


def prepare_segment(program_name: str, run_id: str, created_at: datetime) -> dict[str, Any]:
    """Write the input of the segment job that limits the audience.

    :returns: arguments of the job.
    """
    context = StageContext.of(program_name)
    version, owner = _champion(context).segment_version_arn, context.program.model_owner.name
    if not version:
        raise FatalError(
            f"The champion of {owner} was trained before the program had an audience.segment; run {owner}_train_full."
        )
    run = names.run_key(run_id, created_at.isoformat())
    with work_folder() as folder:
        digest = write_segment_of_audience(context, run, created_at, folder)
    segment = context.program.audience.segment
    people = segment.users_per_item if segment else 0
    job = {
        "job": names.job_name(program_name, "segment", f"{run_id}{digest}{version}{people}"),
        "solution_version_arn": version,
        "input": context.bucket.uri(context.keys.segment_input(run)),
        "output": context.bucket.uri(context.keys.segment_output(run)),
        "role_arn": settings.role_arn_of(context.program),
    }
    budget.check_budget(context, run, estimate.audience_segment(context, job))
    return job


def prepare(
    program_name: str, run_id: str, created_at: datetime, segment_job_arn: str | None = None
) -> dict[str, Any]:
    """Read the audience, write the job's input, and plan the run, so that each retry does the same.

    :param segment_job_arn: the segment job of this run, where the program limits its audience by one.
    """
    context = StageContext.of(program_name)
    usage.record_usage(context, segment_job_arn)
    champion_arn = _champion(context).solution_version_arn
    run = names.run_key(run_id, created_at.isoformat())
    with work_folder() as folder:
        found_in = context.keys.segment_output(run) if segment_job_arn else None
        written = write_inputs(context, run, created_at, folder, found_in=found_in)
    log.info("The audience of %s holds %d people", program_name, written.people)
    chosen = active_filter(context.program, created_at)
    suffix = chosen.name if chosen else ""
    plan = {
        "run": run,
        "created_at": created_at.isoformat(),
        **_job(context, run_id, run, champion_arn, written.parts.get(CHAMPION, [_NO_INPUT]), suffix),
        "users": written.people,
        "filter": asdict(chosen) if chosen else None,
        "campaign": names.campaign_name(context.program),
        "campaign_arn": f"{champion_arn.rsplit(':', 1)[0]}:campaign/{names.campaign_name(context.program)}",
    }
    jobs = [plan]
    if written.arms is not None:
        experiment = _plan_arms(context, run_id, run, written, suffix)
        plan["experiment"] = experiment.to_json()
        jobs = [*([plan] if experiment.is_champion_asked else []), *experiment.jobs.values()]
    budget.check_budget(context, run, [charge for job in jobs for charge in estimate.inference(context, job)])
    return plan


def _job(
    context: StageContext,
    run_id: str,
    run: str,
    version_arn: str,
    parts: Sequence[WrittenPart],
    suffix: str,
    arm: str = CHAMPION,
    owner: Program | None = None,
) -> dict[str, Any]:
    """Plan the job of the champion, or of an arm with another model; several jobs for an input in several parts.

    :param suffix: checksum of what the job's output depends on beside the input.
    :param owner: the program that owns the version's solution; None: this one.
    """
    # The name depends on the input: a cleared run with another audience, version, filter or settings must neither
    # adopt the former job's output nor be refused because that job differs.
    config = _job_config(context, version_arn, owner or context.program)
    settled = f"{context.program.personalize.results}{config}"
    folder = input_run(run, arm)
    # Responses of a campaign are kept in parts, so each input needs a separate folder.
    is_campaign = context.program.personalize.recipe_spec.inference_mode == "campaign"
    jobs = []
    for part in parts:
        seed = f"{run_id}{part.digest}{version_arn}{suffix}{settled}{arm}{part.folder}"
        job = names.job_name(context.program.name, "recommend", seed)
        output_run = f"{folder}-{job.rsplit('-', 1)[-1]}" if is_campaign else folder
        jobs.append(
            JobPart(
                job,
                context.bucket.uri(context.keys.batch_input(folder, part.folder)),
                context.bucket.uri(context.keys.batch_output(output_run, part.folder)),
                part.lines,
            )
        )
    return {
        **JobPart.plan(jobs),
        "solution_version_arn": version_arn,
        "role_arn": settings.role_arn_of(context.program),
        "config": config,
    }


def _plan_arms(context: StageContext, run_id: str, run: str, written: WrittenInputs, suffix: str) -> ArmPlan:
    """Plan the jobs of the arms with another model."""
    experiment, arms = context.program.experiment, arms_of(context.program)
    if experiment is None or arms is None:
        raise FatalError("The experiment was removed from the program file during the run; start a new run.")
    jobs = {}
    for name, arm in experiment.models.items():
        if name in written.parts:
            version_arn, owner = version_of(context, name, arm)
            jobs[name] = _job(context, run_id, run, version_arn, written.parts[name], suffix, name, owner)
    return ArmPlan(arms, written.arms or {}, jobs, is_champion_asked=CHAMPION in written.parts)


def _job_config(context: StageContext, version_arn: str, owner: Program) -> dict[str, Any] | None:
    """Return the job settings for the recipe of a version, which may be a challenger's.

    :param owner: the program that owns the version's solution.
    """
    personalize = context.program.personalize
    recipe = names.recipe_of_version(owner, version_arn)
    return personalize.job_config_of(RECIPES[recipe] if recipe else personalize.recipe_spec)


def _champion(context: StageContext) -> Champion:
    champion, name, personalize = (
        context.store(ChampionStore).read(),
        context.program.model_owner.name,
        context.program.personalize,
    )
    if champion is None:
        raise FatalError(f"Program {name} has no champion; run {name}_train_full first.")
    recipe, wanted = (
        names.recipe_of_version(context.program, champion.solution_version_arn),
        personalize.recipe,
    )
    if recipe and RECIPES[recipe].input_type is not personalize.recipe_spec.input_type:
        raise FatalError(
            f"The champion of {name} is of {recipe}, which cannot be asked as personalize.recipe {wanted} is; run "
            f"{name}_train_full first, or take the former recipe until it has run."
        )
    return champion
