"""Read the outputs of a recommend run's jobs, and write the input of a second job for unanswered questions."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from recsync.context import StageContext
from recsync.costs import budget, estimate, usage
from recsync.errors import BudgetExceededError
from recsync.program import names
from recsync.program.recipes import InputType
from recsync.recommend.job_inputs import ASKED, SEEDS, SEGMENTS, downloaded_part, part_name, upload_input
from recsync.recommend.job_parts import JobPart, part_folders
from recsync.recommend.list_inputs import open_objects, sources
from recsync.recommend.lists import job_input
from recsync.recommend.lists.arms import CHAMPION
from recsync.recommend.lists.output_mapping import (
    OutputMapping,
    by_seed,
    by_some_users,
    by_user,
    for_everybody,
)
from recsync.recommend.lists.segments import by_segment
from recsync.storage.duck import opened, work_folder

log = logging.getLogger(__name__)


def output_mapping_of(context: StageContext, run: str, folder: Path, job: str = CHAMPION) -> OutputMapping:
    """Return how a job's output becomes people's lists.

    :param job: the arm; empty for the champion's.
    """
    input_type = context.program.personalize.recipe_spec.input_type
    if input_type is InputType.ITEM:
        return by_seed(downloaded_part(context, run, part_name(SEEDS, job), folder))
    if input_type in {InputType.SEGMENT_ITEM, InputType.SEGMENT_ATTRIBUTES}:
        return by_segment(downloaded_part(context, run, SEGMENTS, folder))
    if asked := asked_users(context, run, folder, job):
        return by_some_users(asked)
    return for_everybody if input_type is InputType.NOTHING else by_user


def asked_users(context: StageContext, run: str, folder: Path, job: str) -> Path | None:
    """Return whom a job was asked about (``output_mapping.ASKED``); None: everybody, or users of its lines only."""
    asked = part_name(ASKED, job)
    is_ranking = context.program.personalize.recipe_spec.input_type is InputType.RANKING
    if not is_ranking or context.bucket.etag(context.keys.run_part(run, asked)) is None:
        return None
    return downloaded_part(context, run, asked, folder)


def output_keys(context: StageContext, plan: Mapping[str, Any], second_jobs: int = 0) -> list[str]:
    """List the output objects of all jobs of a plan.

    :param second_jobs: number of jobs for the questions that the first ones did not answer.
    """
    uri, folders = context.bucket.uri(""), [part.output for part in JobPart.all_of(plan)]
    folders += [
        context.keys.second_output(plan["run"], part) for part in part_folders(second_jobs) if second_jobs
    ]
    return [key for folder in folders for key in sources(context.bucket, folder.removeprefix(uri))]


def ask_again(program_name: str, plan: dict[str, Any], job_arns: Sequence[str]) -> dict[str, Any] | None:
    """Write the input of a second job for the questions without an answer.

    The job's name is derived from the first jobs and these questions, so that a retry adopts it.

    :param plan: of the first jobs.
    :param job_arns: the first jobs.
    :returns: the plan of the second job; None when it is not worth its price, or above the budget.
    """
    context, run = StageContext.of(program_name), plan["run"]
    uri, first = context.bucket.uri, JobPart.all_of(plan)
    usage.record_usage(context, *job_arns)
    keys = output_keys(context, plan)
    with work_folder() as folder:
        lines, questions = folder / "lines.json", [folder / f"questions-{n}.json" for n in range(len(first))]
        for part, path in zip(first, questions, strict=True):
            context.bucket.download(part.input.removeprefix(uri("")), path)
        with opened(folder) as connection:
            outputs = open_objects(context.bucket, keys)
            found = job_input.write_unanswered(
                connection,
                questions,
                outputs,
                context.program.personalize.recipe_spec.input_type,
                lines,
                folder,
            )
        reason = found.reason_not_to_ask_again
        log.info("%d of %d questions have no answer", found.unanswered, found.asked)
        if reason:
            log.info("No second job: %s", reason)
            return None
        written = upload_input(context, partial(context.keys.second_input, run), lines)
    jobs = "".join(part.job for part in first)
    again = {
        **plan,
        **JobPart.plan(
            [
                JobPart(
                    names.job_name(program_name, "again", f"{jobs}{part.digest}{part.folder}"),
                    uri(context.keys.second_input(run, part.folder)),
                    uri(context.keys.second_output(run, part.folder)),
                    part.lines,
                )
                for part in written
            ]
        ),
        "users": found.unanswered,
    }
    try:
        budget.check_budget(context, f"{run}-again", estimate.inference(context, again))
    except BudgetExceededError as error:
        log.warning("No second job, and the people without an answer keep their lists: %s", error)
        return None
    return again
