"""Filters of the recommend stage: what a run needs, and what is left of former runs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from airflow_personalize.aws_errors import error_code
from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resources import FILTER
from airflow_personalize.status import State, state_of
from recsync.context import StageContext
from recsync.errors import RETRIABLE
from recsync.program import Program
from recsync.recommend.filter_plan import filters_to_retire

log = logging.getLogger(__name__)


def make_room(program_name: str, plan: dict[str, Any]) -> dict[str, str]:
    """Retire former filters before a run's own is created, so that their number never nears the service's limit.

    :param plan: what ``recommend.prepare`` returned, with the filter and the solution version.
    :returns: arguments of the filter: ``name``, ``expression`` and ``dataset_group_arn``.
    """
    retire_filters(program_name, plan["solution_version_arn"], plan["filter"]["name"])
    hook = _hook(StageContext.of(program_name))
    return {
        **plan["filter"],
        "dataset_group_arn": hook.dataset_group_of_version(plan["solution_version_arn"]),
    }


def retire_filters(program_name: str, solution_version_arn: str, current: str | None) -> list[str]:
    """Delete the filters of this program that are neither current nor among the newest, nor used by a running job.

    Other filters of the dataset group are left alone, those of other programs too.

    :param solution_version_arn: any version of the dataset group.
    :param current: name of the filter that must stay.
    :returns: ARNs of those deleted.
    """
    context = StageContext.of(program_name)
    hook = _hook(context)
    found = hook.listed(FILTER, datasetGroupArn=hook.dataset_group_of_version(solution_version_arn))
    candidates = to_retire(context.program, found, current)
    return [each["filterArn"] for each in candidates if _delete(hook, each["filterArn"])]


def to_retire(
    program: Program, found: Iterable[Mapping[str, Any]], current: str | None
) -> list[Mapping[str, Any]]:
    """Choose the filters of a program that may go, from the summaries of ``ListFilters``."""
    there = [each for each in found if state_of(each) is not State.GONE]
    failed = {each["name"] for each in there if state_of(each) is State.FAILED}
    return filters_to_retire(program, there, failed, current)


def _delete(hook: PersonalizeHook, arn: str) -> bool:
    try:
        return hook.delete(FILTER, arn)
    except RETRIABLE as error:
        cause = error.__cause__
        if not isinstance(cause, ClientError) or error_code(cause) != "ResourceInUseException":
            raise
        log.info("Filter %s stays: a running job uses it", arn)
        return False


def _hook(context: StageContext) -> PersonalizeHook:
    return PersonalizeHook(aws_conn_id=context.program.aws)
