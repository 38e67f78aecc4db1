"""Resources of one program in Amazon Personalize: which are in use, and the removal of the others."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from botocore.exceptions import ClientError

from airflow_personalize.aws_errors import error_code
from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resource import Resource
from airflow_personalize.resources import FILTER, SCHEMA, SOLUTION
from airflow_personalize.status import State, state_of
from recsync.context import StageContext
from recsync.errors import RETRIABLE
from recsync.evaluation.champion_store import ChampionStore
from recsync.maintain.account import Account, held_filter
from recsync.maintain.report import Entry
from recsync.maintain.resource_retention import (
    Verdict,
    judge_solutions,
    judge_unused,
    owns_filter,
    owns_schema,
    owns_solution,
    versions_needed,
)
from recsync.recommend.filters import to_retire
from recsync.training.pinned_solutions import asked_for

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judged:
    """Verdicts about resources of one kind."""

    resource: Resource
    verdicts: Sequence[Verdict]

    def entries(self, *, stay: bool) -> list[Entry]:
        """Give those that stay, or those that do not."""
        return [Entry(self.resource.noun, v.resource.name, v.why) for v in self.verdicts if v.stays is stay]


def survey(context: StageContext, account: Account, now: datetime) -> list[Judged]:
    """Judge the program's solutions, filters and schemas."""
    return [
        Judged(SOLUTION, _solutions(context, account, now)),
        Judged(FILTER, _filters(account, now)),
        Judged(SCHEMA, _schemas(account, now)),
    ]


def remove(hook: PersonalizeHook, judged: Sequence[Judged]) -> tuple[list[str], set[str]]:
    """Ask for the deletion of what does not stay; asking again for one that is under way changes nothing.

    :returns: what stays all the same, and why; and the names of those.
    """
    left, stayed = [], set()
    for each in judged:
        for verdict in (v for v in each.verdicts if not v.stays):
            if refusal := _refused(hook, each.resource, verdict.resource.arn):
                left.append(f"{each.resource.noun} {verdict.resource.name} stays: {refusal}")
                stayed.add(verdict.resource.name)
            else:
                log.info("Removed %s %s: %s", each.resource.noun, verdict.resource.name, verdict.why)
    return left, stayed


def _solutions(context: StageContext, account: Account, now: datetime) -> list[Verdict]:
    history = [
        (c.solution_version_arn, c.segment_version_arn) for c in context.store(ChampionStore).history()
    ]
    # What is used is asked for last: it may have become used since the solutions were listed.
    own = [each for each in account.solutions if owns_solution(context.program, each.name)]
    needed = versions_needed(history, context.program.retention.champions)
    asked = asked_for(context)
    needed |= {each.arn: "the program file asks for it" for each in own if each.name in asked}
    return judge_solutions(context.program, own, {**account.used_solutions(), **needed}, now)


def _filters(account: Account, now: datetime) -> list[Verdict]:
    program = account.program
    own = [each for each in account.filters if owns_filter(program, each["name"])]
    asked = program.filters.recommend is not None
    current = next((each["name"] for each in own if asked and state_of(each) is State.READY), None)
    retired = {each["filterArn"] for each in to_retire(program, own, current)}
    used = {
        each["filterArn"]: "the newest filters of the program"
        for each in own
        if asked and each["filterArn"] not in retired
    }
    return judge_unused(map(held_filter, own), used, program.retention.solution_days, now)


def _schemas(account: Account, now: datetime) -> list[Verdict]:
    program = account.program
    own = [each for each in account.schemas if owns_schema(program, each.name)]
    return judge_unused(own, account.used_schemas, program.retention.solution_days, now)


def _refused(hook: PersonalizeHook, resource: Resource, arn: str) -> str | None:
    try:
        hook.delete(resource, arn)
    except RETRIABLE as error:
        cause = error.__cause__
        if not isinstance(cause, ClientError) or error_code(cause) != "ResourceInUseException":
            raise
        return "Amazon Personalize says that it is in use"
    return None
