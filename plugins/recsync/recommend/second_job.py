"""Ask once more, in a second job, what a batch job did not answer."""

from __future__ import annotations

import logging
from typing import Any

from recsync.context import StageContext
from recsync.costs import budget, estimate, usage
from recsync.errors import BudgetExceededError
from recsync.program import names
from recsync.recommend.job_inputs import digest_of
from recsync.recommend.list_inputs import open_objects, sources
from recsync.recommend.lists.unanswered import write_unanswered
from recsync.storage.duck import opened
from recsync.storage.work_folder import work_folder

log = logging.getLogger(__name__)


def ask_again(program_name: str, plan: dict[str, Any], job_arn: str) -> dict[str, Any] | None:
    """Write the input of a second job for the questions without an answer.

    The job's name depends on nothing but the first job and these questions, so that a retry adopts it.

    :param plan: of the first job.
    :param job_arn: the first job.
    :returns: arguments of the second job; None when it is not worth its money, or beyond the budget.
    """
    context, run, uri = (
        StageContext.of(program_name),
        plan["run"],
        StageContext.of(program_name).bucket.uri(""),
    )
    usage.book(context, job_arn)
    keys = sources(context.bucket, plan["output"].removeprefix(uri))
    with work_folder() as folder:
        questions, lines = folder / "questions.json", folder / "lines.json"
        context.bucket.download(plan["input"].removeprefix(uri), questions)
        with opened(folder) as connection:
            outputs = open_objects(context.bucket, keys)
            found = write_unanswered(
                connection, questions, outputs, context.program.personalize.traits.asks, lines, folder
            )
        reason = found.reason_not_to_ask_again
        log.info("%d of %d questions have no answer", found.unanswered, found.asked)
        if reason:
            log.info("No second job: %s", reason)
            return None
        context.bucket.upload(context.keys.second_input(run), lines)
        job = names.job_name(program_name, "again", f"{plan['job']}{digest_of(lines)}")
    again = {
        **plan,
        "job": job,
        "input": context.bucket.uri(context.keys.second_input(run)),
        "output": context.bucket.uri(context.keys.second_output(run)),
        "users": found.unanswered,
    }
    try:
        budget.authorise(context, f"{run}-again", estimate.answers(context, again))
    except BudgetExceededError as error:
        log.warning("No second job, and the people without an answer keep their lists: %s", error)
        return None
    return again
